"""Vectors of rwkv6_model@1."""

from models import decoded
from vector import Case

SIZES = {
    "B": 1, "T": 17, "S": 31, "D": 16, "I": 24, "H": 2, "K": 4,
    "V": 8, "E": 3, "G": 4, "L": 5, "AQ": 2, "AH": 1, "AK": 8,
}  # fmt: skip
STATES = ("layers.0.h0", "layers.0.x0", "layers.0.ffn.x0", "layers.1.ffn.x0")


def case(name, sizes=None, **rest):
    return Case("rwkv6_model@1", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("hybrid", absent=STATES),
    decoded(case("decode", absent=STATES)),
)

# case, form
INTERPRETED = (("hybrid", "fused_recurrent"), ("decode", "fused_recurrent"))
# case, form, storage type
TRITON = ()
# results that a form does not give: up to 64 tokens, the recurrent kernel drops d_ht
WITHOUT = {"fused_recurrent": ("layers.0.ht",)}
FINDINGS = {}
