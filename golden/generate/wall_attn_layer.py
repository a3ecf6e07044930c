"""Vectors of wall_attn_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "H": 2, "K": 8}


def case(name, sizes=None, **rest):
    return Case("wall_attn_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    # the kernel gives no numbers for a last block that is not full, where gates have decayed by more than 2^-128 before it
    case("plain", {"T": 64}),
    case(
        "packed",
        lengths=(17, 1, 52),
        attrs={"qkv_bias": True, "qk_norm": True, "use_scalar_gate": True, "use_output_gate": True, "window_size": 20},
    ),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
