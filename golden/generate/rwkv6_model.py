"""Vectors of rwkv6_model."""

from models import decoded
from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 16, "I": 24, "H": 2, "K": 4, "V": 8, "E": 3, "G": 4, "L": 5}
STATES = tuple(f"layers.{i}.{name}" for i in (0, 1) for name in ("h0", "x0", "ffn.x0"))


def case(name, sizes=None, **rest):
    return Case("rwkv6_model", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("states", {"B": 2, "T": 17}),
    case(
        "options",
        {"T": 17},
        attrs={"norm_first": False, "norm_bias": False, "hidden_act": "swish", "tie_word_embeddings": True},
    ),
    decoded(case("decode", absent=STATES)),
)

# case, form
INTERPRETED = (
    ("plain", "chunk"),
    ("states", "fused_recurrent"),
    ("options", "fused_recurrent"),
    ("decode", "fused_recurrent"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give: up to 64 tokens, the recurrent kernel drops d_ht
WITHOUT = {"fused_recurrent": ("layers.0.ht", "layers.1.ht")}
FINDINGS = {}
