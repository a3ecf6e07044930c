"""Vectors of layer_norm_gated."""

from vector import Case

SIZES = {"B": 2, "T": 35, "D": 24}


def case(name, sizes=None, **rest):
    return Case("layer_norm_gated", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("residual", "bias")),
    case("sigmoid", {"D": 33}, attrs={"activation": "sigmoid", "eps": 0.25}),
)

# case, form
INTERPRETED = (("plain", "module"), ("sigmoid", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
