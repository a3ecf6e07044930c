"""Vectors of rms_norm."""

from vector import Case

SIZES = {"B": 2, "T": 35, "D": 24}


def case(name, sizes=None, **rest):
    return Case("rms_norm", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("residual", "bias")),
    case("residual", {"D": 33}, attrs={"eps": 0.25}),
    case("bare", absent=("residual", "weight", "bias")),
)

# case, form
INTERPRETED = (("plain", "module"), ("residual", "module"), ("bare", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
