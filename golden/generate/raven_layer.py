"""Vectors of raven_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HQ": 2, "H": 2, "K": 8, "V": 12, "M": 8}
STATES = ("hk0", "hv0")
FLAGS = ("use_output_gate", "use_rope", "bias_rmm", "gla_decay")
MUCH = {"topk": 3, "router_score": "softmax"} | dict.fromkeys(FLAGS, True)


def case(name, sizes=None, **rest):
    return Case("raven_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", attrs={"topk": 3}, absent=STATES),
    case("packed", {"HQ": 4, "V": 10}, attrs=MUCH, lengths=(17, 1, 52)),
    case("mlp", attrs={"mlp_router": True, "gate_fn": "sigmoid", "t2r": True, "scale": 0.375}),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"), ("mlp", "fused_recurrent"))
# case, form, storage type
TRITON = ()
# what is known to be wrong, by file: the heading in FINDINGS.md
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "mlp-fused_recurrent-f32": ROUNDED,
}
