"""Vectors of activation."""

from vector import Case

SIZES = {"B": 1, "T": 20, "D": 24}


def case(name, sizes=None, **rest):
    return Case("activation", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("swish", absent=("bias",)),
    case("gelu", attrs={"kind": "gelu"}, absent=("bias",)),
    case("sigmoid", attrs={"kind": "sigmoid"}, absent=("bias",)),
    case("logsigmoid", attrs={"kind": "logsigmoid"}, absent=("bias",)),
    case("elu_p1", attrs={"kind": "elu_p1"}, absent=("bias",)),
    case("sqrelu", attrs={"kind": "sqrelu"}, absent=("bias",)),
    case("relu", attrs={"kind": "relu"}, absent=("bias",)),
    case("biased", attrs={"kind": "gelu"}),
    case("tempered", attrs={"kind": "logsigmoid", "temperature": 2.0}, absent=("bias",)),
)

# case, form
INTERPRETED = tuple((c.name, "module") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
