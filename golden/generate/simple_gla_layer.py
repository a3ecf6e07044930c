"""Vectors of simple_gla_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HQ": 2, "H": 2, "K": 8, "V": 12, "W": 4}
STATES = ("h0", "q_conv0", "k_conv0", "v_conv0")


def case(name, sizes=None, **rest):
    return Case("simple_gla_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", {"HQ": 4}, lengths=(17, 1, 52)),
    case("unconvolved", {"W": 1}, attrs={"use_short_conv": False, "gate_fn": "sigmoid", "feature_map": "swish"}),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"), ("unconvolved", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
