"""Vectors of yoco_model@swa."""

from models import decoded
from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 16, "HQ": 2, "H": 1, "K": 8, "I": 24, "AQ": 2, "AH": 1, "AK": 8}


def case(name, sizes=None, **rest):
    return Case("yoco_model@swa", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("window", attrs={"window_size": 20}),
    case("short", {"B": 2, "T": 17}, attrs={"window_size": 5, "qkv_bias": True}),
    decoded(case("decode", attrs={"window_size": 5})),
)

# case, form
INTERPRETED = (("window", "layer"), ("short", "layer"), ("decode", "layer"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
