"""Vectors of token_shift."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24}


def case(name, sizes=None, **rest):
    return Case("token_shift", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("x0",)),
    case("states", {"B": 2, "T": 20}),
    case("packed", lengths=(17, 1, 52)),
)

# case, form
INTERPRETED = (("plain", "module"), ("states", "module"), ("packed", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
