"""Vectors of feature_map_rebased."""

from vector import Case

SIZES = {"B": 1, "T": 35, "K": 6, "M": 21}


def case(name, sizes=None, **rest):
    return Case("feature_map_rebased", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("unnormed", attrs={"normalize": False}),
    case("without-beta", absent=("beta",)),
)

# case, form
INTERPRETED = (("plain", "module"), ("unnormed", "module"), ("without-beta", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
