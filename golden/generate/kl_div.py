"""Vectors of kl_div."""

from vector import Case

SIZES = {"B": 1, "T": 35, "D": 16, "I": 24, "S": 100}


def case(name, sizes=None, **rest):
    return Case("kl_div", name, SIZES | (sizes or {}), **rest)


CASES = (
    # five chunks of tokens, the last of them ragged
    case("plain"),
    case("narrow", {"B": 2, "T": 9, "D": 24, "I": 8, "S": 21}),
    case("packed", lengths=(20, 1, 14)),
)

# case, form
INTERPRETED = (
    ("plain", "module"),
    ("narrow", "module"),
    ("packed", "module"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
