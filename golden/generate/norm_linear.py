"""Vectors of norm_linear."""

from vector import Case

SIZES = {"B": 2, "T": 35, "D": 24, "I": 16}


def case(name, sizes=None, **rest):
    return Case("norm_linear", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("layer", absent=("residual",)),
    case("rms", attrs={"rms": True, "eps": 0.25}),
    case("groups", attrs={"num_groups": 4}, absent=("norm_bias", "linear_bias")),
)

# case, form
INTERPRETED = (("layer", "module"), ("rms", "module"), ("groups", "module"), ("rms", "function"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
