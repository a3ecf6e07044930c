"""Vectors of lerp_linear."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "I": 16, "E": 4}


def case(name, sizes=None, **rest):
    return Case("lerp_linear", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", {"E": 1}, absent=("x0",)),
    case("packed", attrs={"low_rank": True}, lengths=(17, 1, 52)),
    case("of-tokens", {"B": 2, "T": 20}, attrs={"data_dependent": True, "low_rank": True}),
)

# case, form
INTERPRETED = (("plain", "module"), ("packed", "module"), ("of-tokens", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
