"""Vectors of hgrn_layer."""

from vector import Case

SIZES = {"B": 2, "T": 70, "D": 24, "I": 32, "W": 1}
STATES = ("h0",)


def case(name, sizes=None, **rest):
    return Case("hgrn_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("h0", "lower_bound")),
    case("bounded"),
    case("packed", {"B": 1, "W": 4}, attrs={"use_short_conv": True}, lengths=(17, 1, 52)),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("bounded", "chunk"), ("packed", "fused_recurrent"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
