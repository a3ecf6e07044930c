"""Models of state spaces and cyclic flow; not Mamba-3, whose kernels are those of mamba_ssm and ask for CUDA."""

from models import hybrid, model

ROUNDED = "layers lose digits of f32 in the gradients of their gates"
UNBIASED = ("in_proj.bias[x]", "in_proj.bias[z]", "out_proj.bias")
UNBIASED_GROUPS = (*UNBIASED, *(f"in_proj.bias[{part}]" for part in ("B", "C", "dt", "dl")))
MAMBA = {"I": 24, "E": 4, "W": 4}
# its feed-forward networks are as wide as a multiple of 256
SAMBA = model(
    "samba_model",
    "mamba_layer",
    MAMBA | {"D": 4, "F": 256},
    form="layer",
    short={"without": UNBIASED},
    long={"lengths": (), "without": UNBIASED},
    resumed=False,
)

MAKERS = (
    model(
        "mamba_model",
        "mamba_layer",
        MAMBA,
        form="layer",
        short={"without": UNBIASED},
        long={"lengths": ()},
        resumed=False,
    ),
    model(
        "mamba2_model",
        "mamba2_layer",
        {"HV": 4, "H": 1, "W": 4},
        form="layer",
        short={"without": UNBIASED_GROUPS},
        long={"lengths": (), "norm_before_gate": True, "D_has_hdim": True, "dt_limit_low": 0.1, "dt_limit_high": 0.5},
        resumed=False,
    ),
    SAMBA,
    hybrid(SAMBA, form="layer", without=UNBIASED),
    model(
        "cyclic_flow_attention_model",
        "cyfa_layer",
        {"C": 15, "M": 16, "W": 4},
        FINDINGS={
            "long-chunk-f32": "Cyclic flow loses the gradient of its gates where a second chunk starts from a state",
        },
    ),
    model(
        "log_linear_mamba2_model",
        "log_linear_mamba2_layer",
        {"D": 4, "F": 256, "HV": 2, "H": 1, "K": 64, "V": 4, "L": 15, "W": 4},
        form="layer",
        short={"B": 1, "without": UNBIASED_GROUPS},
        long={"lengths": (), "without": UNBIASED_GROUPS, "norm_before_gate": True},
        FINDINGS={"long-layer-f32": ROUNDED},
    ),
)
