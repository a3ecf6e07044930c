"""Vectors of cat_model."""

from vector import Case

SIZES = {
    "B": 1, "T": 80, "S": 31, "D": 16, "HQ": 2, "H": 1, "K": 8, "I": 24,
    "E": 8, "AQ": 2, "AK": 4, "M": 24, "C": 4, "L": 5, "G": 80,
}  # fmt: skip
NOTE = "flex_attention, which compiles, replaced by a plain masked softmax"


def case(name, sizes=None, **rest):
    return Case("cat_model", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", note=NOTE),
    case("halves", {"B": 2, "T": 17, "G": 24}, attrs={"chunk_size": 2, "qkv_bias": True, "qk_norm": True}, note=NOTE),
    case("smaller", {"B": 2, "T": 17, "G": 24}, attrs={"chunk_size": 3, "qkv_bias": True, "qk_norm": True}, note=NOTE),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def prepare():
    """Puts a plain masked softmax in the place of flex_attention, which has no gradients on a CPU."""
    import torch
    from fla.models.cat import modeling_cat

    def attention(q, k, v, block_mask):
        places = torch.arange(q.shape[2])
        seen = block_mask(0, 0, places[:, None], places[None])
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v

    modeling_cat.create_block_mask_compiled = lambda mask, **_: mask
    modeling_cat.flex_attention_compiled = attention
