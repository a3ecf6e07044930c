"""Vectors of bit_linear."""

from vector import Case

SIZES = {"B": 1, "T": 35, "D": 24, "I": 16}


def case(name, sizes=None, **rest):
    return Case("bit_linear", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("norm.bias", "residual")),
    case("unbiased", {"D": 20}, absent=("norm.bias", "residual", "bias")),
    case("layer", attrs={"rms": False, "norm_eps": 0.25}),
)

# case, form
INTERPRETED = (("plain", "module"), ("unbiased", "module"), ("layer", "function"), ("unbiased", "unfused"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
