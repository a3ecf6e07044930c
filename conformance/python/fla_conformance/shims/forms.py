"""Which of fla's functions computes which op in which form, and how their arguments differ from the spec's."""

import importlib
from dataclasses import dataclass, field

from fla_conformance.shims import adapt

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
    # what it returns, by the spec's names, nested pairs unpacked; states come last
    outputs: tuple = ("o", "ht")
    # changes the outputs, by the spec's names, where fla's shapes differ; gets the inputs too
    finish: object = None
    # autograd does not know it
    forward_only: bool = False

    def load(self):
        """The function."""
        return getattr(importlib.import_module(self.module), self.function)


def _windowed(package, function, adapt=adapt.whole_window):
    return Form(f"fla.ops.{package}", function, names={"window": "window_size"}, adapt=adapt)


def _forms(package, grouped=True, **functions):
    rest = {form: how for form, how in functions.items() if isinstance(how, Form)}
    return {f: Form(package, how, grouped=grouped) for f, how in functions.items() if f not in rest} | rest


_GATE = ("use_gate_in_kernel", "A_log", "dt_bias")
_PRECONDITIONED = {"names": {"a0": "initial_A_state"}, "outputs": ("o", "ht", "at")}
_COMPOSED = "fla_conformance.shims.composed"
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
        naive_parallel=Form("fla.ops.simple_gla.naive", "naive_parallel_simple_gla", outputs=("o",), grouped=False),
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
        form: Form("fla.ops.lightning_attn", f"{form}_lightning_attn", adapt=adapt.whole_layers)
        for form in ("chunk", "fused_recurrent")
    },
    "linear_attn": {
        form: Form("fla.ops.linear_attn", f"{form}_linear_attn", constants={"normalize": False})
        for form in ("chunk", "fused_chunk", "fused_recurrent")
    },
    "normalized_linear_attn": {
        form: Form(
            "fla.ops.linear_attn",
            f"{form}_linear_attn",
            constants={"normalize": True},
            adapt=adapt.sums_of_a_token,
            outputs=("o", "ht", "zt"),
            finish=adapt.sums,
        )
        for form in ("chunk", "fused_chunk", "fused_recurrent")
    },
    "delta_rule": _forms(
        "fla.ops.delta_rule", chunk="chunk_delta_rule", fused_recurrent="fused_recurrent_delta_rule"
    ),
    "kda": {
        "chunk": Form("fla.ops.kda", "chunk_kda", _GATE, adapt=adapt.flat_bias),
        "fused_recurrent": Form("fla.ops.kda", "fused_recurrent_kda", adapt=adapt.flat_bias),
    },
    "gdn2": {
        "chunk": Form("fla.ops.gdn2", "chunk_gdn2", _GATE, adapt=adapt.flat_bias, grouped=False),
        "fused_recurrent": Form("fla.ops.gdn2", "fused_recurrent_gdn2", adapt=adapt.flat_bias),
    },
    "gated_oja_rule": _forms(
        "fla.ops.gated_oja_rule",
        chunk=Form("fla.ops.gated_oja_rule", "chunk_gated_oja_rule", grouped=False),
        fused_recurrent="fused_recurrent_gated_oja_rule",
    ),
    # PyTorch both, no kernels
    "momentum_delta_rule": {
        form: Form(
            "fla.ops.momentum_delta_rule",
            f"{form}_momentum_delta_rule",
            names={"g": "log_alpha", "p_times_alpha": "use_p_times_alpha"},
            constants={"use_qk_l2norm_in_kernel": False, "use_p_times_alpha": False},
            adapt=adapt.both_memories,
            outputs=("o", "ht", "mt"),
            finish=adapt.stacked_states,
        )
        for form in ("chunk", "fused_recurrent")
    },
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
    "rwkv4": {
        "fused_recurrent": Form(
            "fla.ops.rwkv4",
            "fused_recurrent_rwkv4",
            adapt=adapt.one_state_of_three,
            outputs=("o", "alphat"),
            finish=adapt.three_states,
        ),
    },
    "rwkv6": {
        form: Form("fla.ops.rwkv6", f"{form}_rwkv6", names=_RWKV6) for form in ("chunk", "fused_recurrent")
    },
    "rwkv7": {
        "chunk": Form("fla.ops.rwkv7", "chunk_rwkv7", names=_RWKV6, adapt=adapt.rwkv7_as_dplr),
        "fused_recurrent": Form("fla.ops.rwkv7", "fused_mul_recurrent_rwkv7", names=_RWKV6),
    },
    "based": _forms(
        "fla.ops.based",
        parallel=Form(
            "fla.ops.based", "parallel_based", names={"normalize": "use_norm"}, constants={"use_norm": False}
        ),
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
        )
    },
    "lightnet": {
        form: Form(
            "fla.ops.lightnet",
            f"{form}_lightnet",
            adapt=adapt.sums_of_a_token,
            outputs=("o", "ht", "zt"),
            finish=adapt.sums,
        )
        for form in ("chunk", "fused_recurrent")
    },
    "gsa": {
        form: Form("fla.ops.gsa", f"{form}_gsa", adapt=adapt.together("hk0", "hv0"), outputs=("o", "hkt", "hvt"))
        for form in ("chunk", "fused_recurrent")
    },
    "cyfa": {
        form: Form(
            "fla.ops.cyfa",
            function,
            constants={"q_norm_eps": 1e-5, "k_norm_eps": 1e-5},
            adapt=adapt.together("hk0", "hv0", "lambda0"),
            outputs=("o", "hkt", "hvt", "lambdat"),
        )
        for form, function in (
            ("chunk", "chunk_cyfa"),
            ("fused_recurrent", "fused_recurrent_cyfa"),
            ("naive_recurrent", "naive_recurrent_cyfa"),
        )
    },
    # its states are no pair that can be resumed from
    "abc": {"chunk": Form("fla.ops.abc", "chunk_abc", outputs=("o",))},
    "precond_gated_delta_rule": {
        form: Form(
            "fla.ops.precond_gated_delta_rule",
            f"{form}_precond_gated_delta_rule",
            **_PRECONDITIONED,
            constants={"use_qk_l2norm_in_kernel": False},
        )
        for form in ("chunk", "fused_recurrent")
    },
    "precond_kda": {
        "chunk": Form(
            "fla.ops.precond_kda",
            "chunk_precond_kda",
            _GATE,
            **_PRECONDITIONED,
            adapt=adapt.normalised,
        ),
        "fused_recurrent": Form(
            "fla.ops.precond_kda",
            "fused_recurrent_precond_kda",
            **_PRECONDITIONED,
            constants={"use_qk_l2norm_in_kernel": False},
            adapt=adapt.by_value_heads,
            finish=adapt.by_key_heads,
        ),
    },
    "mesa_net": {
        "chunk": Form(
            "fla.ops.mesa_net",
            "chunk_mesa_net",
            names={"h_kk0": "h_kk_init", "h0": "h_kv_init"},
            adapt=adapt.both_sums,
            outputs=("o", "h_kkt", "ht"),
        )
    },
    "ttt": {
        form: Form(
            "fla.ops.ttt",
            f"{form}_ttt_linear",
            names={"hb0": "initial_state_bias"},
            adapt=adapt.rows_of_one,
            outputs=("o", "ht", "hbt"),
            finish=adapt.bias_as_vector,
        )
        for form in ("chunk", "fused_chunk")
    },
    "stickbreaking_attn": {
        form: Form("fla.ops.stickbreaking_attn", f"{how}_stickbreaking_attn", outputs=("o", "rem"))
        for form, how in (("parallel", "parallel"), ("naive_parallel", "naive"))
    },
    "log_linear_attn": _forms("fla.ops.log_linear_attn", chunk="chunk_log_linear_attn"),
    "deltaformer": _forms(
        "fla.ops.deltaformer",
        parallel="deltaformer_attn",
        naive_parallel=Form("fla.ops.deltaformer", "naive_deltaformer_attn", adapt=adapt.as_wide),
    ),
    "path_attn": _forms(
        "fla.ops.path_attn",
        parallel="parallel_path_attn",
        naive_parallel=Form("fla.ops.path_attn", "naive_path_attn", adapt=adapt.with_scale_and_gate),
    ),
    "attnres": {
        form: Form(
            "fla.ops.attnres",
            function,
            names={"q": "query", "eps": "rms_eps", "output_weight": "output_rms_weight"},
            adapt=adapt.residuals_in_a_sequence,
        )
        for form, function in (("parallel", "fused_attnres"), ("naive_parallel", "naive_attnres"))
    },
    "nsa": {
        "parallel": Form("fla.ops.nsa", "parallel_nsa", adapt=adapt.query_groups, finish=adapt.query_heads),
        "naive_parallel": Form("fla.ops.nsa", "naive_nsa", adapt=adapt.whole_blocks),
    },
    "dsa": {"naive_parallel": Form("fla.ops.dsa", "naive_dsa", constants={"q_idx": None, "k_idx": None})},
    "moba": {"parallel": Form("fla.ops.moba", "parallel_moba", adapt=adapt.packed_chunks)},
    "gated_delta_product": {
        "chunk": Form(
            "fla.ops.gated_delta_product", "chunk_gated_delta_product", adapt=adapt.steps_as_rows, grouped=False
        )
    },
    "attn": {
        "parallel": _windowed("attn", "parallel_attn"),
        "naive_parallel": _windowed("attn", "naive_parallel_attn"),
    },
    "forgetting_attn": {
        "parallel": _windowed("forgetting_attn", "parallel_forgetting_attn"),
        "naive_parallel": _windowed("forgetting_attn", "naive_forgetting_attn"),
    },
    "wall_attn": {
        "parallel": _windowed("wall_attn", "parallel_wall_attn"),
        "naive_parallel": _windowed("wall_attn", "naive_wall_attn", adapt.wall_with_scale),
    },
    "parallax": {
        "parallel": _windowed("parallax", "parallel_parallax", adapt.parallax_in_16_bits),
        "naive_parallel": _windowed("parallax", "naive_parallax"),
    },
    "titans": {
        "naive_chunk": Form("fla.ops.titans.naive", "chunk_titans_linear_ref", adapt=adapt.rates_of_one_channel),
        "naive_recurrent": Form(
            "fla.ops.titans.naive",
            "chunk_titans_linear_ref",
            constants={"use_chunk": False},
            adapt=adapt.rates_of_one_channel,
        ),
    },
    "gdn_gate": {
        "fused": Form("fla.ops.gated_delta_rule.gate", "fused_gdn_gate", adapt=adapt.tokenwise),
        "naive_recurrent": Form("fla.ops.gated_delta_rule.gate", "naive_gdn_gate", adapt=adapt.tokenwise),
    },
    "kda_gate": {"fused": Form("fla.ops.kda.gate", "fused_kda_gate", adapt=adapt.flat_gate)},
    "beta_sigmoid": {"fused": Form("fla.ops.common.gate", "fused_beta_sigmoid", adapt=adapt.tokenwise)},
    "cumsum": {"chunk": Form("fla.ops.utils", "chunk_global_cumsum", names={"x": "s"}, forward_only=True)},
    "local_cumsum": {
        "chunk": Form(
            *("fla.ops.utils", "chunk_local_cumsum"),
            names={"x": "g"},
            adapt=adapt.whole("chunk_size", 64),
            forward_only=True,
        )
    },
    "mean_pooling": {
        "chunk": Form(
            "fla.ops.utils",
            "mean_pooling",
            adapt=adapt.whole("chunk_size", 64),
            outputs=("o",),
            finish=adapt.last_tokens_of_blocks,
        )
    },
    "atk": {"chunk": Form(_COMPOSED, "chunk_atk", outputs=("o", "at"))},
    "softmax": {"fused": Form(_COMPOSED, "softmax", adapt=adapt.tokenwise)},
    "softplus": {"fused": Form(_COMPOSED, "softplus", adapt=adapt.tokenwise, forward_only=True)},
    "logsumexp": {"fused": Form("fla.ops.utils", "logsumexp_fwd", adapt=adapt.tokenwise, forward_only=True)},
    "sinkhorn": {
        "fused": Form("fla.ops.utils.sinkhorn", "sinkhorn", adapt=adapt.iterated),
        "naive_recurrent": Form("fla.ops.utils.sinkhorn", "naive_sinkhorn", adapt=adapt.iterated),
    },
    "triangular_inverse": {
        "fused": Form(
            "fla.ops.utils",
            "solve_tril",
            names={"a": "A"},
            adapt=adapt.whole_triangles,
            outputs=("o",),
            finish=adapt.corners,
            forward_only=True,
        )
    },
    "matmul": {"fused": Form("fla.ops.utils", "matmul", adapt=adapt.named_function, forward_only=True)},
    "addmm": {"fused": Form("fla.ops.utils", "addmm", adapt=adapt.factors_as_tensors, forward_only=True)},
}

from fla_conformance.shims import forms_decoding, forms_references, forms_rwkv  # noqa: E402 (they import this)

FORMS |= forms_rwkv.FORMS
for _name, _more in (*forms_references.FORMS.items(), *forms_decoding.FORMS.items()):
    FORMS[_name] = FORMS[_name] | _more
