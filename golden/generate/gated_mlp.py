"""Vectors of gated_mlp."""

from vector import Case

SIZES = {"B": 1, "T": 35, "D": 16, "I": 24}


def case(name, sizes=None, **rest):
    return Case("gated_mlp", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("powlu", attrs={"hidden_act": "powlu"}),
)

# case, form
INTERPRETED = (("plain", "module"), ("powlu", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
