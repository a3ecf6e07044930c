"""Which of fla's functions computes which op in which form, and how their arguments differ from the spec's."""

import importlib
from dataclasses import dataclass, field

from fla_conformance.shim import Declined

# the spec's name -> fla's, in every form that does not say otherwise
NAMES = {
    "h0": "initial_state",
    "qk_l2norm": "use_qk_l2norm_in_kernel",
    "q_l2norm": "use_q_l2norm",
    "k_l2norm": "use_k_l2norm",
    "softplus_gate": "use_gate_in_kernel",
    "beta_sigmoid": "use_beta_sigmoid_in_kernel",
}


@dataclass(frozen=True)
class Form:
    """One of fla's functions."""

    module: str
    function: str
    # arguments that it takes through `**kwargs`
    keywords: tuple = ()
    names: dict = field(default_factory=dict)
    # arguments that are always given, unless a call gives them
    constants: dict = field(default_factory=dict)
    # changes the given inputs, by the spec's names, where a name alone does not do
    adapt: object = None
    # whether there may be more value heads than key heads
    grouped: bool = True

    def load(self):
        """The function."""
        return getattr(importlib.import_module(self.module), self.function)


def _flat_bias(given):
    # [HV, K] here, [HV K] there
    return given | {"dt_bias": given["dt_bias"].flatten()} if "dt_bias" in given else given


def _whole_layers(given):
    layers = {"layer_idx": 0, "num_layers": 1} | {n: given[n] for n in ("layer_idx", "num_layers") if n in given}
    for name, x in layers.items():
        if x != int(x):
            raise Declined(f"{name} counts layers, {x} is no whole number")
    return given | {name: int(x) for name, x in layers.items()}


def _rwkv7_as_dplr(given):
    kk, a = given["kk"], given["a"]
    return {name: x for name, x in given.items() if name != "kk"} | {"a": -kk, "b": kk * a}


def _forms(package, grouped=True, **functions):
    rest = {form: how for form, how in functions.items() if isinstance(how, Form)}
    return {f: Form(package, how, grouped=grouped) for f, how in functions.items() if f not in rest} | rest


_GATE = ("use_gate_in_kernel", "A_log", "dt_bias")
_RWKV6 = {"q": "r", "g": "w"}

FORMS = {
    "simple_gla": _forms(
        "fla.ops.simple_gla",
        chunk="chunk_simple_gla",
        fused_chunk="fused_chunk_simple_gla",
        fused_recurrent="fused_recurrent_simple_gla",
        parallel="parallel_simple_gla",
        naive_recurrent=Form("fla.ops.simple_gla.naive", "naive_recurrent_simple_gla", grouped=False),
        naive_chunk=Form("fla.ops.simple_gla.naive", "naive_chunk_simple_gla", grouped=False),
        naive_parallel=Form("fla.ops.simple_gla.naive", "naive_parallel_simple_gla", grouped=False),
    ),
    "gated_delta_rule": _forms(
        "fla.ops.gated_delta_rule",
        chunk=Form("fla.ops.gated_delta_rule", "chunk_gated_delta_rule", _GATE),
        fused_recurrent="fused_recurrent_gated_delta_rule",
        naive_recurrent=Form("fla.ops.gated_delta_rule.naive", "naive_recurrent_gated_delta_rule", grouped=False),
        naive_chunk=Form("fla.ops.gated_delta_rule.naive", "naive_chunk_gated_delta_rule", grouped=False),
    ),
    "hgrn": _forms(
        "fla.ops.hgrn",
        chunk="chunk_hgrn",
        fused_recurrent="fused_recurrent_hgrn",
        naive_recurrent=Form("fla.ops.hgrn.naive", "naive_recurrent_hgrn"),
        naive_chunk=Form("fla.ops.hgrn.naive", "naive_chunk_hgrn"),
    ),
    "gla": _forms(
        "fla.ops.gla",
        chunk="chunk_gla",
        fused_recurrent=Form("fla.ops.gla", "fused_recurrent_gla", names={"g": "gk"}),
    ),
    "retention": _forms(
        "fla.ops.retention",
        chunk="chunk_retention",
        fused_chunk="fused_chunk_retention",
        fused_recurrent="fused_recurrent_retention",
        parallel="parallel_retention",
    ),
    "lightning_attn": {
        form: Form("fla.ops.lightning_attn", f"{form}_lightning_attn", adapt=_whole_layers)
        for form in ("chunk", "fused_recurrent")
    },
    "linear_attn": {
        form: Form("fla.ops.linear_attn", f"{form}_linear_attn", constants={"normalize": False})
        for form in ("chunk", "fused_chunk", "fused_recurrent")
    },
    "delta_rule": _forms(
        "fla.ops.delta_rule", chunk="chunk_delta_rule", fused_recurrent="fused_recurrent_delta_rule"
    ),
    "kda": {
        "chunk": Form("fla.ops.kda", "chunk_kda", _GATE, adapt=_flat_bias),
        "fused_recurrent": Form("fla.ops.kda", "fused_recurrent_kda", adapt=_flat_bias),
    },
    "gdn2": {
        "chunk": Form("fla.ops.gdn2", "chunk_gdn2", _GATE, adapt=_flat_bias, grouped=False),
        "fused_recurrent": Form("fla.ops.gdn2", "fused_recurrent_gdn2", adapt=_flat_bias),
    },
    "gated_oja_rule": _forms(
        "fla.ops.gated_oja_rule",
        chunk=Form("fla.ops.gated_oja_rule", "chunk_gated_oja_rule", grouped=False),
        fused_recurrent="fused_recurrent_gated_oja_rule",
    ),
    "comba": _forms("fla.ops.comba", chunk="chunk_comba", fused_recurrent="fused_recurrent_comba"),
    "dplr": {
        form: Form("fla.ops.generalized_delta_rule", f"{form}_dplr_delta_rule", names={"g": "gk"})
        for form in ("chunk", "fused_recurrent")
    },
    "iplr": _forms(
        "fla.ops.generalized_delta_rule",
        chunk="chunk_iplr_delta_rule",
        fused_recurrent="fused_recurrent_iplr_delta_rule",
    ),
    "rwkv6": {
        form: Form("fla.ops.rwkv6", f"{form}_rwkv6", names=_RWKV6) for form in ("chunk", "fused_recurrent")
    },
    "rwkv7": {
        "chunk": Form("fla.ops.rwkv7", "chunk_rwkv7", names=_RWKV6, adapt=_rwkv7_as_dplr),
        "fused_recurrent": Form("fla.ops.rwkv7", "fused_mul_recurrent_rwkv7", names=_RWKV6),
    },
    "based": _forms(
        "fla.ops.based",
        parallel=Form("fla.ops.based", "parallel_based", names={"normalize": "use_norm"}, constants={"use_norm": False}),
        fused_chunk=Form(
            "fla.ops.based", "fused_chunk_based", names={"normalize": "use_norm"}, constants={"use_norm": False}
        ),
    ),
    "rebased": {
        "parallel": Form(
            "fla.ops.rebased",
            "parallel_rebased",
            names={"normalize": "use_normalize"},
            constants={"use_normalize": False},
        ),
    },
}
