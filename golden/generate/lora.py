"""Vectors of lora."""

from vector import Case

SIZES = {"B": 1, "T": 35, "D": 24, "E": 4, "I": 16}


def case(name, sizes=None, **rest):
    return Case("lora", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("tanh"),
    case("sigmoid", attrs={"activation": "sigmoid"}, absent=("lora.2.bias",)),
    case("linear", attrs={"activation": "none"}),
)

# case, form
INTERPRETED = (("tanh", "module"), ("sigmoid", "module"), ("linear", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
