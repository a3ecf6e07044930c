"""Vectors of feature_map_polysketch."""

from vector import Case

SIZES = {"B": 1, "T": 35, "K": 12, "I": 5, "M": 15}


def case(name, sizes=None, **rest):
    return Case("feature_map_polysketch", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("deeper", attrs={"degree_8": True}),
)

# case, form
INTERPRETED = (("plain", "module"), ("deeper", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
