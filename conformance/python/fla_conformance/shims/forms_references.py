"""fla's references in PyTorch, of ops whose kernels are in `forms`, and what else has no form there."""

from fla_conformance.shims import adapt
from fla_conformance.shims.forms import _PRECONDITIONED, _RWKV6, Form


def _both(package, name, **rest):
    return {
        f"naive_{how}": Form(f"fla.ops.{package}.naive", f"naive_{how}_{name}", grouped=False, **rest)
        for how in ("chunk", "recurrent")
    }


_FLAT = {"finish": adapt.heads_as_channels}


def _cumsum(function, x, **rest):
    return Form("fla.ops.utils", function, names={"x": x}, outputs=("o",), forward_only=True, **rest)


FORMS = {
    "comba": _both("comba", "comba"),
    "gdn2": _both("gdn2", "gdn2"),
    "momentum_delta_rule": {
        f"naive_{how}": Form(
            "fla.ops.momentum_delta_rule",
            f"{how}_momentum_delta_rule_ref",
            names={"g": "log_alpha", "h0": "initial_S", "m0": "initial_M"},
            adapt=adapt.keys_already_decayed,
            outputs=("o", "ht", "mt"),
            finish=adapt.stacked_states,
            grouped=False,
        )
        for how in ("chunk", "recurrent")
    },
    "mesa_net": {
        "naive_recurrent": Form(
            "fla.ops.mesa_net",
            "naive_mesa_net_exact",
            names={"h_kk0": "h_kk_init", "h0": "h_kv_init"},
            adapt=adapt.both_sums,
            outputs=("o", "h_kkt", "ht"),
        )
    },
    "precond_kda": {
        "naive_recurrent": Form("fla.ops.precond_kda", "naive_recurrent_precond_kda", **_PRECONDITIONED, grouped=False)
    },
    "precond_gated_delta_rule": {
        "naive_recurrent": Form(
            "fla.ops.precond_gated_delta_rule",
            "naive_recurrent_precond_gated_delta_rule",
            **_PRECONDITIONED,
            adapt=adapt.normalised,
        )
    },
    "kda_gate": {
        "naive_recurrent": Form("fla.ops.kda.gate", "naive_kda_gate", adapt=adapt.flat_gate),
        "naive_bounded": Form("fla.ops.kda.gate", "naive_kda_lowerbound_gate", adapt=adapt.bounded_gate),
    },
    "cumsum": {
        "chunk_scalar": _cumsum("chunk_global_cumsum_scalar", "s", **_FLAT, adapt=adapt.channels_as_heads),
        "chunk_vector": _cumsum("chunk_global_cumsum_vector", "s"),
    },
    "local_cumsum": {
        "chunk_scalar": _cumsum("chunk_local_cumsum_scalar", "g", **_FLAT, adapt=adapt.channels_as_heads_of_chunks),
        "chunk_vector": _cumsum("chunk_local_cumsum_vector", "g", adapt=adapt.whole("chunk_size", 64)),
    },
    "titans": {
        "chunk": Form(
            "fla.ops.titans.naive",
            "chunk_titans_linear",
            adapt=adapt.full_mini_batches,
            finish=adapt.tokens_first,
        )
    },
    # the same recurrence as its kernels take it
    "rwkv7": {
        "fused_recurrent_dplr": Form(
            "fla.ops.rwkv7",
            "fused_recurrent_rwkv7",
            names=_RWKV6,
            # the root of the width there, unless given
            constants={"scale": 1.0},
            adapt=adapt.rwkv7_as_dplr,
        )
    },
}
