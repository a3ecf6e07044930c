"""Vectors of yoco_model."""

from models import decoded
from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 16, "H": 2, "HV": 4, "K": 8, "V": 4, "W": 4, "I": 24, "AQ": 2, "AH": 1, "AK": 8}
STATES = tuple(f"layers.0.{name}" for name in ("h0", "q_conv0", "k_conv0", "v_conv0"))


def case(name, sizes=None, **rest):
    return Case("yoco_model", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case(
        "short",
        {"B": 2, "T": 17},
        attrs={
            "cross_decoder_attn.qkv_bias": True,
            "cross_decoder_attn.qk_norm": True,
            "cross_decoder_attn.rope_inv_freq": "yoco",
        },
        absent=STATES,
    ),
    decoded(case("decode", absent=STATES)),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("short", "chunk"), ("decode", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
