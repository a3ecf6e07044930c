"""Vectors of rodimus_ska_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "K": 8}
NOTE = "without the conversion of q, k and v to bfloat16"


def case(name, sizes=None, **rest):
    return Case("rodimus_ska_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", attrs={"window_size": 20}, note=NOTE),
    case("packed", lengths=(17, 0, 1, 52), attrs={"qkv_bias": True, "qk_norm": True, "rope_theta": 100}, note=NOTE),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def prepare():
    """Leaves out a conversion to bfloat16 that the class has no option for."""
    from fla.layers import rodimus

    rodimus.autocast_to_fp16 = lambda x: x
