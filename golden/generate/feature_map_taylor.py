"""Vectors of feature_map_taylor."""

from vector import Case

SIZES = {"B": 1, "T": 35, "K": 6, "M": 28}


def case(name, sizes=None, **rest):
    return Case("feature_map_taylor", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("wide", {"K": 8, "M": 45}),
)

# case, form
INTERPRETED = (("plain", "module"), ("wide", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
