"""Vectors of glu_linear."""

from vector import Case

SIZES = {"B": 1, "T": 35, "D": 16, "I": 24}


def case(name, sizes=None, **rest):
    return Case("glu_linear", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("swish"),
    case("sigmoid", attrs={"gate": "sigmoid"}),
    case("powlu", attrs={"gate": "powlu", "power": 2.0}, absent=("bias",)),
)

# case, form
INTERPRETED = (("swish", "module"), ("sigmoid", "module"), ("powlu", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
