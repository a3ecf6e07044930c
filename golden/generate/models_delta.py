"""Models of the delta rule and its relatives."""

from models import hybrid, model

W = {"W": 4}
UNCONVOLVED = {"use_short_conv": False, "W": 1}
SUMS = "decays of the preconditioner are exponentials of differences of sums: its last states are off by 2e-6"
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
HALVES = "chunk_mesa_net rounds queries and keys to float16, and its solver stops at residuals of 1e-5"

DELTA = model(
    "delta_net_model", "delta_net_layer", W, long={"use_gate": True, "qk_activation": "elu", "qk_norm": "sum"}
)
GATED = model(
    "gated_deltanet_model",
    "gated_deltanet_layer",
    W,
    long={"allow_neg_eigval": True, "HV": 4, "V": 4},
    FINDINGS={"long-chunk-f32": ROUNDED},
)
KDA = model("kda_model", "kda_layer", W, long={"lower_bound": -5, "HV": 4, "V": 4})

COMBA = model("comba_model", "comba_layer", W, long={"use_output_gate": False})
PRODUCT = model(
    "gated_deltaproduct_model",
    "gated_deltaproduct_layer",
    W | {"R": 2},
    long={"allow_neg_eigval": False},
)
MESA = model(
    "mesa_net_model",
    "mesa_net_layer",
    W,
    long={"use_output_gate": True},
    FINDINGS=dict.fromkeys(("short-chunk-f32", "long-chunk-f32", "decode-chunk-f32"), HALVES),
)
PRECONDITIONED = model(
    "precond_gated_deltanet_model",
    "precond_gated_deltanet_layer",
    W,
    long={"squash_x": 2},
    FINDINGS={"short-chunk-f32": SUMS},
)
PRECONDITIONED_KDA = model(
    "precond_kda_model",
    "precond_kda_layer",
    W,
    long={"lower_bound": -5} | UNCONVOLVED,
    FINDINGS={"short-chunk-f32": SUMS},
)

MAKERS = (
    COMBA,
    hybrid(COMBA, **{"attn.window_size": 5}),
    DELTA,
    hybrid(DELTA, attnres=True, attnres_block_size=1),
    GATED,
    hybrid(GATED, **{"attn.window_size": 5, "attn.qkv_bias": True}),
    PRODUCT,
    hybrid(PRODUCT, tie_word_embeddings=True),
    KDA,
    hybrid(KDA),
    MESA,
    hybrid(MESA, findings=dict.fromkeys(("short-chunk-f32", "decode-chunk-f32"), HALVES)),
    model(
        "mom_model",
        "mom_layer",
        W | {"M": 3, "V": 4, "F": 16},
        short={"B": 1, "shared_mem": True, "shared_proj": True},
        long={"topk": 1, "lengths": ()},
        resumed=False,
    ),
    PRECONDITIONED,
    hybrid(PRECONDITIONED),
    PRECONDITIONED_KDA,
    hybrid(PRECONDITIONED_KDA, findings={"short-chunk-f32": SUMS}),
)
