"""Models of linear attention without a delta rule."""

from models import hybrid, model, of_blocks

UNKEPT = "What models make of their caches: ABC keeps no sums of weights"
CONVOLVED = {"use_short_conv": True, "W": 4}

GLA = model("gla_model", "gla_layer", {"E": 16}, long={"feature_map": "relu", "clamp_min": -0.05} | CONVOLVED)
GSA = model("gsa_model", "gsa_layer", {"M": 8}, long={"gate_logit_normalizer": 2, "H": 1, "V": 8} | CONVOLVED)
# the chunk form drops cotangents of the last state, and gradients by the first
HGRN = model(
    "hgrn_model", "hgrn_layer", {"I": 32, "L": 2}, long=CONVOLVED, WITHOUT={"chunk": of_blocks("ht", "d_h0")}
)
HGRN2 = model(
    "hgrn2_model",
    "hgrn2_layer",
    {"L": 2},
    long={"use_lower_bound": False} | CONVOLVED,
)
LINEAR = model("linear_attn_model", "linear_attn_layer", {"C": 8}, long={"do_feature_map_norm": True, "norm_q": True})
RETNET = model(
    "retnet_model", "multiscale_retention_layer", long={"feature_map": "relu", "use_output_gate": False, "H": 1}
)

# what it starts from lacks the sums of weights
ABC = model(
    "abc_model",
    "abc_layer",
    {"M": 8},
    form="layer",
    long={"use_rope": False, "clamp_max": 0.5, "lengths": ()} | CONVOLVED,
    resumed=False,
    WITHOUT={"layer": of_blocks("hkt", "hvt", "zt")},
    FINDINGS={"decode-layer-f32": UNKEPT},
)
LIGHT = model("lightnet_model", "lightnet_layer", {"E": 4}, long=CONVOLVED)
RAVEN = model(
    "raven_model",
    "raven_layer",
    {"M": 8},
    {"topk": 3},
    long={"use_output_gate": True, "use_rope": True, "gla_decay": True, "router_score": "softmax"},
)

MAKERS = (
    ABC,
    hybrid(ABC, form="layer", findings={"decode-layer-f32": UNKEPT}),
    GLA,
    hybrid(GLA, attnres=True),
    GSA,
    hybrid(GSA, tie_word_embeddings=True),
    HGRN,
    hybrid(HGRN),
    HGRN2,
    hybrid(HGRN2, **{"attn.window_size": 5}),
    LIGHT,
    hybrid(LIGHT, **{"attn.qkv_bias": True}),
    LINEAR,
    hybrid(LINEAR, **{"attn.rope_theta": 100}),
    RAVEN,
    hybrid(RAVEN, topk=3),
    RETNET,
    hybrid(RETNET, **{"attn.rope_theta": 100}),
)
