"""Models of softmax attention and its relatives."""

from models import model

HEADS = {"HQ": 4, "K": 4}
BIASED = {"qkv_bias": True, "qk_norm": True}

MAKERS = (
    model("bitnet_model", "bitattn_layer", HEADS, form="layer", long={"window_size": 20, "rope_theta": 100}),
    model("deltaformer_model", "deltaformer_layer", form="layer", long=BIASED | {"rope_theta": 100}),
    model("forgetting_transformer_model", "forgetting_attn_layer", HEADS, form="layer", long=BIASED | {"use_output_gate": True}),
    model(
        "mla_model",
        "mla_layer",
        {"K": 12, "R": 4, "C": 16, "E": 10, "I": 6},
        form="layer",
        long={"q_lora": False, "E": 1, "window_size": 20},
    ),
    model("moba_model", "moba_layer", {"moba_chunk_size": 8, "moba_topk": 2}, form="layer", long=BIASED | {"use_output_gate": True}),
    model(
        "nsa_model",
        "nsa_layer",
        {"HQ": 16, "H": 1, "K": 4, "C": 3},
        {"block_size": 8, "block_counts": 4, "window_size": 3},
        form="layer",
        long={"qkv_bias": True, "rope_theta": 100},
    ),
    model("parallax_model", "parallax_layer", HEADS, form="layer", long=BIASED | {"window_size": 20}),
    model(
        "path_attn_model", "path_attn_layer", HEADS | {"E": 32, "W": 3}, form="layer", long={"use_forget_gate": True, "use_low_rank_w": False, "E": 1}
    ),
    model("stickbreaking_attn_model", "stickbreaking_attn_layer", HEADS, form="layer", long=BIASED | {"attend_current": True}),
    model("transformer_model", "attn_layer", HEADS, form="layer", long=BIASED | {"window_size": 20, "rope_theta": 100}),
    model(
        "wall_transformer_model", "wall_attn_layer", HEADS, form="layer", long={"use_scalar_gate": True, "use_output_gate": True, "window_size": 20}
    ),
)
