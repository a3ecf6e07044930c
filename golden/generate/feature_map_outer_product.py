"""Vectors of feature_map_outer_product."""

from vector import Case

SIZES = {"B": 1, "T": 35, "K": 12, "I": 5, "M": 15}


def case(name, sizes=None, **rest):
    return Case("feature_map_outer_product", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("wide", {"K": 6, "I": 8, "M": 36}),
)

# case, form
INTERPRETED = (("plain", "module"), ("wide", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
