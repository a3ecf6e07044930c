"""Forms of RWKV-7's helpers, kernels and their PyTorch references."""

from fla_conformance.shims import adapt
from fla_conformance.shims.forms import Form

FORMS = {
    "rwkv7_channel_mixing": {
        "parallel": Form(
            "fla.ops.rwkv7.channel_mixing",
            "channel_mixing_rwkv7",
            names={"h0": "x_prev"},
            # or its backward pass writes into x and x_prev
            constants={"inplace": False},
            adapt=adapt.with_token_before,
            finish=adapt.last_token,
        ),
        "naive_parallel": Form(
            "fla.ops.rwkv7.channel_mixing",
            "channel_mixing_rwkv7_torch",
            names={"h0": "x_prev"},
            adapt=adapt.with_token_before,
            finish=adapt.last_token,
        ),
    },
    "rwkv7_key": {
        "parallel": Form("fla.ops.rwkv7.fused_k_update", "fused_k_rwkv7", names={"k_a": "ka"}),
        "naive_parallel": Form("fla.ops.rwkv7.fused_k_update", "k_update_ref", names={"k_a": "ka"}),
    },
    "rwkv7_output_gate": {
        form: Form(
            "fla.ops.rwkv7.gate_output_correction",
            function,
            names={"x": "o", "q": "r"},
            adapt=adapt.heads_in_a_row,
            outputs=("o",),
            finish=adapt.heads_apart,
        )
        for form, function in (("parallel", "gate_output_correction"), ("naive_parallel", "gate_output_correction_ref"))
    },
    "rwkv7_token_shift": {
        form: Form(
            "fla.ops.rwkv7.fused_addcmul",
            function,
            names={"x": "hidden_states"},
            adapt=adapt.mixtures_by_name,
            outputs=("o", *(f"o{i}" for i in range(1, 6))),
            finish=adapt.mixtures,
        )
        for form, function in (("parallel", "fused_addcmul_rwkv7"), ("naive_parallel", "torch_addcmul_rwkv7"))
    },
}
