"""Vectors of based_layer."""

from vector import Case

SIZES = {"B": 2, "T": 70, "D": 24, "H": 2, "K": 8, "V": 12}


def case(name, sizes=None, **rest):
    return Case("based_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("both-ways", attrs={"causal": False, "eps": 0.25}),
)

# case, form
INTERPRETED = (("plain", "parallel"), ("both-ways", "parallel"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
