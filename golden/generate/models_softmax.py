"""Models of softmax attention and its relatives, which keep no states: their long cases are packed."""

from functools import partial

from models import model

layered = partial(model, form="layer")
HEADS = {"HQ": 4, "K": 4}
BIASED = {"qkv_bias": True, "qk_norm": True}
GATED = BIASED | {"use_output_gate": True}
WINDOW = {"window_size": 20}
FAST = {"rope_theta": 100}

MAKERS = (
    layered("bitnet_model", "bitattn_layer", HEADS, long=WINDOW | FAST),
    layered("deltaformer_model", "deltaformer_layer", long=BIASED | FAST, decodes=False),
    layered("forgetting_transformer_model", "forgetting_attn_layer", HEADS, long=GATED),
    layered(
        "mla_model",
        "mla_layer",
        {"K": 12, "R": 4, "C": 16, "E": 10, "I": 6},
        long={"q_lora": False, "E": 1} | WINDOW,
    ),
    layered("moba_model", "moba_layer", attrs={"moba_chunk_size": 8, "moba_topk": 2}, long=GATED),
    layered(
        "nsa_model",
        "nsa_layer",
        {"HQ": 16, "H": 1, "K": 4, "C": 3},
        {"block_size": 8, "block_counts": 4, "window_size": 3},
        long={"qkv_bias": True} | FAST,
    ),
    layered("parallax_model", "parallax_layer", HEADS, long=BIASED | WINDOW),
    layered(
        "path_attn_model",
        "path_attn_layer",
        HEADS | {"E": 32, "W": 3},
        long={"use_forget_gate": True, "use_low_rank_w": False, "E": 1},
    ),
    layered(
        "stickbreaking_attn_model",
        "stickbreaking_attn_layer",
        HEADS,
        long=BIASED | {"attend_current": True},
        decodes=False,
    ),
    layered("transformer_model", "attn_layer", HEADS, long=BIASED | WINDOW | FAST),
    layered(
        "wall_transformer_model",
        "wall_attn_layer",
        HEADS,
        long=GATED | WINDOW | {"use_scalar_gate": True},
        FINDINGS={
            "decode-layer-f32": "What models make of their caches: wall attention keeps keys in bfloat16",
        },
    ),
)
