"""Vectors of feature_map_hedgehog."""

from vector import Case

SIZES = {"B": 1, "T": 35, "K": 12, "M": 24}


def case(name, sizes=None, **rest):
    return Case("feature_map_hedgehog", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("wide", {"K": 20, "M": 40}),
)

# case, form
INTERPRETED = (("plain", "module"), ("wide", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
