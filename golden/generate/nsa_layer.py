"""Vectors of nsa_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HQ": 16, "H": 1, "K": 4, "C": 3}


def case(name, sizes=None, **rest):
    return Case("nsa_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", attrs={"block_size": 8, "block_counts": 4, "window_size": 20}),
    case("packed", lengths=(17, 1, 52), attrs={"qkv_bias": True, "block_size": 8, "block_counts": 4, "window_size": 3}),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
