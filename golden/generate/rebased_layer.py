"""Vectors of rebased_layer."""

from vector import Case

SIZES = {"B": 2, "T": 70, "D": 24, "H": 2, "K": 8, "V": 12}


def case(name, sizes=None, **rest):
    return Case("rebased_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("plain-map", attrs={"normalize": False, "use_beta": False, "eps": 0.375}),
)

# case, form
INTERPRETED = (("plain", "parallel"), ("plain-map", "parallel"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
