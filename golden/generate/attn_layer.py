"""Vectors of attn_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "H": 2, "K": 8}


def case(name, sizes=None, **rest):
    return Case("attn_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case(
        "packed",
        lengths=(17, 0, 1, 52),
        attrs={"qkv_bias": True, "qk_norm": True, "window_size": 20, "rope_theta": 100},
    ),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
