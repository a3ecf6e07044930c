"""Vectors of group_norm."""

from vector import Case

SIZES = {"B": 2, "T": 35, "D": 24}


def case(name, sizes=None, **rest):
    return Case("group_norm", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", attrs={"num_groups": 4}, absent=("residual", "bias")),
    case("rms", attrs={"num_groups": 2, "rms": True, "eps": 0.25}),
)

# case, form
INTERPRETED = (("plain", "module"), ("rms", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
