"""Vectors of rodimus_model."""

from models import decoded
from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 12, "V": 24, "M": 8, "E": 4, "W": 4, "HQ": 2, "K": 6, "I": 16}
STATES = tuple(f"layers.{i}.{name}" for i in (0, 1) for name in ("h0", "conv0"))
NOTE = "without the conversion of q, k and v to bfloat16"


def case(name, sizes=None, **rest):
    return Case("rodimus_model", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", attrs={"ska_attn.window_size": 20}, absent=STATES, note=NOTE),
    case(
        "short",
        {"B": 2, "T": 17},
        attrs={"ska_attn.qkv_bias": True, "ska_attn.qk_norm": True, "tie_word_embeddings": False},
        note=NOTE,
    ),
    decoded(case("decode", attrs={"ska_attn.window_size": 20}, absent=STATES, note=NOTE)),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("short", "chunk"), ("decode", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def prepare():
    """Leaves out a conversion to bfloat16 that the attention has no option for."""
    from rodimus_ska_layer import prepare as unrounded

    unrounded()
