"""Vectors of norm_gate_linear."""

from vector import Case

SIZES = {"B": 2, "T": 35, "D": 24, "I": 16}


def case(name, sizes=None, **rest):
    return Case("norm_gate_linear", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("rms", absent=("residual", "norm_bias")),
    case("layer", attrs={"rms": False, "eps": 0.25}, absent=("norm_bias", "linear_bias")),
    case("biased"),
)

# case, form
INTERPRETED = (("rms", "module"), ("layer", "module"), ("biased", "function"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
