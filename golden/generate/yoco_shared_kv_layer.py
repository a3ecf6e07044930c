"""Vectors of yoco_shared_kv_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "H": 2, "K": 8}


def case(name, sizes=None, **rest):
    return Case("yoco_shared_kv_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("packed", lengths=(17, 1, 52), attrs={"qkv_bias": True, "rope_theta": 100, "rope_inv_freq": "yoco"}),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
