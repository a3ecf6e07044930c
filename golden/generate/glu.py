"""Vectors of glu."""

from vector import Case

SIZES = {"B": 1, "T": 35, "D": 24}


def case(name, sizes=None, **rest):
    return Case("glu", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("swish"),
    case("sigmoid", attrs={"gate": "sigmoid"}),
    case("powlu", attrs={"gate": "powlu"}),
    case("squared", attrs={"gate": "powlu", "power": 2.0}),
)

# case, form
INTERPRETED = (("swish", "module"), ("sigmoid", "module"), ("powlu", "module"), ("squared", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
