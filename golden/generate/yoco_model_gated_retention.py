"""Vectors of yoco_model@gated_retention."""

from models import decoded
from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 16, "H": 2, "K": 8, "I": 24, "AQ": 2, "AH": 1, "AK": 8}


def case(name, sizes=None, **rest):
    return Case("yoco_model@gated_retention", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("retention", absent=("layers.0.h0",)),
    case("short", {"B": 2, "T": 17}, attrs={"rope_inv_freq": "yoco"}, absent=("layers.0.h0",)),
    decoded(case("decode", absent=("layers.0.h0",))),
)

# case, form
INTERPRETED = (("retention", "chunk"), ("short", "chunk"), ("decode", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
