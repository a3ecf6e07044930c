"""Vectors of l2_norm."""

from vector import Case

SIZES = {"B": 2, "T": 35, "D": 24}


def case(name, sizes=None, **rest):
    return Case("l2_norm", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("large-eps", {"D": 33}, attrs={"eps": 0.25}),
)

# case, form
INTERPRETED = (("plain", "module"), ("large-eps", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
