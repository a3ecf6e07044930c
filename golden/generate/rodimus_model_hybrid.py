"""Vectors of rodimus_model@1."""

from models import decoded
from vector import Case

SIZES = {
    "B": 1, "T": 80, "S": 31, "D": 16, "V": 32, "M": 8, "E": 4,
    "W": 4, "HQ": 2, "K": 8, "I": 24, "AQ": 2, "AH": 1, "AK": 8,
}  # fmt: skip


def case(name, sizes=None, **rest):
    return Case("rodimus_model@1", name, SIZES | (sizes or {}), **rest)


CASES = (
    case(
        "hybrid",
        {"T": 17},
        absent=("layers.0.h0", "layers.0.conv0"),
        note="without the conversion of q, k and v to bfloat16",
    ),
)
CASES = (*CASES, decoded(CASES[0]))

# case, form
INTERPRETED = (("hybrid", "chunk"), ("decode", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def prepare():
    """Leaves out a conversion to bfloat16 that the attention has no option for."""
    from rodimus_ska_layer import prepare as unrounded

    unrounded()
