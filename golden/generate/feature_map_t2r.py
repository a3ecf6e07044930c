"""Vectors of feature_map_t2r."""

from vector import Case

SIZES = {"B": 1, "T": 35, "K": 12, "M": 20}


def case(name, sizes=None, **rest):
    return Case("feature_map_t2r", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("unbiased", absent=("layer.bias",)),
)

# case, form
INTERPRETED = (("plain", "module"), ("unbiased", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
