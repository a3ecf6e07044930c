"""fla's references in PyTorch, of ops whose kernels are in `forms`, and what else has no form there."""

from fla_conformance.shims import adapt
from fla_conformance.shims.forms import _PRECONDITIONED, _RWKV6, Form


def _both(package, name, **rest):
    return {
        f"naive_{how}": Form(f"fla.ops.{package}.naive", f"naive_{how}_{name}", grouped=False, **rest)
        for how in ("chunk", "recurrent")
    }


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
    "kda_gate": {"naive_recurrent": Form("fla.ops.kda.gate", "naive_kda_gate", adapt=adapt.flat_gate)},
    # the same recurrence as its kernels take it
    "rwkv7": {
        "fused_recurrent_dplr": Form("fla.ops.rwkv7", "fused_recurrent_rwkv7", names=_RWKV6, adapt=adapt.rwkv7_as_dplr)
    },
}
