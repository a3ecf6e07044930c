"""Vectors of mom_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 8, "V": 12, "M": 4, "W": 4}
STATES = ("h0", "q_conv0", "k_conv0", "v_conv0")
SHARED = ("shared_h0", "shared_q_conv0", "shared_k_conv0", "shared_v_conv0")


def case(name, sizes=None, **rest):
    return Case("mom_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("shared", {"B": 2, "T": 33}, attrs={"shared_mem": True, "shared_proj": True}, absent=(*STATES, *SHARED)),
    case(
        "single",
        attrs={"single_kv_proj": True, "shared_proj": True, "topk": 1, "use_output_gate": False, "norm_eps": 0.25},
        absent=STATES,
    ),
    # part of a cache: what is absent is zeros
    case("states", {"T": 40}, attrs={"shared_mem": True, "shared_proj": True}, absent=("k_conv0", "shared_h0")),
)


def prepare():
    """fla groups tokens by memory with a sort that need not keep their order, and on a CPU does not; here it does."""
    import torch

    original = torch.Tensor.argsort
    torch.Tensor.argsort = lambda self, *arguments, **rest: original(self, *arguments, **(rest | {"stable": True}))


# case, form
INTERPRETED = tuple((c.name, "chunk") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
FINDINGS = {"plain-chunk-f32": ROUNDED, "single-chunk-f32": ROUNDED}
