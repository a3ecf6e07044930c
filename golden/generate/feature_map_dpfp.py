"""Vectors of feature_map_dpfp."""

from vector import Case

SIZES = {"B": 1, "T": 35, "K": 6, "M": 48}


def case(name, sizes=None, **rest):
    return Case("feature_map_dpfp", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("two", {"M": 24}, attrs={"nu": 2}),
)

# case, form
INTERPRETED = (("plain", "module"), ("two", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
