"""flash-linear-attention 0.6.0's models: which classes a spec is, and how it is configured from extents and options."""

import importlib
import inspect
from dataclasses import dataclass, field

from fla_conformance.ports import SPECS
from fla_conformance.shim import Declined
from fla_conformance.shims.layers import LAYERS, Question, weights


@dataclass(frozen=True)
class Model:
    """One of fla's models: its layer, and what its configuration calls the layer's arguments."""

    module: str
    config: str
    name: str
    layer: str
    # constructor argument of the layer -> field of the configuration; None: no such field
    fields: dict = field(default_factory=dict)
    # further fields of a question
    more: object = lambda x: {}
    trunk: str = "model"
    mixer: str = "attn"


def _part(spec, inputs, prefix, state):
    """The question that one layer of a model is asked, by the names of the layer's own spec."""
    found = {name: x for name, x in inputs.items() if name in spec.attrs}
    for port in spec.inputs:
        found[port.name] = next((inputs[n] for n in (prefix + port.name, state + port.name) if n in inputs), None)
    return Question(spec, {n: x for n, x in found.items() if x is not None})


def _config(model, op, x, form):
    layer, part = LAYERS[model.layer], _part(SPECS[model.layer], x.inputs, f"{model.trunk}.layers.0.{model.mixer}.", "layers.0.")
    own = {}
    for argument, value in layer.arguments(part).items():
        field = model.fields.get(argument, argument)
        if field is not None and argument != "layer_idx":
            own[field] = value
        elif argument != "layer_idx" and value != _default(layer, argument):
            raise Declined(f"{model.config} has no {argument}")
    depth = len({n.split(".")[2] for n in x.inputs if n.startswith(f"{model.trunk}.layers.")})
    config = own | {
        "vocab_size": x.S,
        "num_hidden_layers": depth,
        "intermediate_size": getattr(x, "F", getattr(x, "I", None)),
        "norm_eps": x["norm_eps"],
        "tie_word_embeddings": bool(x["tie_word_embeddings"]),
        "attn_mode": form,
        "pad_token_id": None,
        "fuse_cross_entropy": x.get("input_ids").is_cuda,
    }
    if x.attrs.get("attnres"):
        config["attnres_block_size"] = int(x["attnres_block_size"])
    hybrid = [int(i) for i in op.partition("@")[2].split("+") if i]
    if hybrid:
        window = x["attn.window_size"]
        config["attn"] = {
            "layers": hybrid,
            "num_heads": x.AQ,
            "num_kv_heads": x.AH,
            "qkv_bias": bool(x["attn.qkv_bias"]),
            "window_size": window if window is None else int(window),
            "rope_theta": float(x["attn.rope_theta"]),
        }
    config = {k: v for k, v in (config | model.more(x)).items() if k is not None}
    return getattr(importlib.import_module(model.module), model.config)(**config)


def _default(layer, argument):
    function = getattr(importlib.import_module(layer.module), layer.name).__init__
    return inspect.signature(function).parameters[argument].default


def call(op, model, form, inputs, want):
    """Logits, losses and states of one of fla's models, by the spec's names."""
    import torch
    from torch.func import functional_call

    spec, layer = SPECS[op], LAYERS[model.layer]
    offsets = inputs.pop("cu_seqlens", None)
    x = Question(spec, inputs)
    built = getattr(importlib.import_module(model.module), model.name)(_config(model, op, x, form))
    parameters = weights(x, spec)
    own = {n for n, _ in built.named_parameters()}
    if own != set(parameters):
        raise ValueError(f"{model.name}: parameters that only one side has: {sorted(own ^ set(parameters))}")
    built.criterion = _criterion(x)
    ids, targets = x.get("input_ids"), x.get("targets")
    arguments = {"input_ids": ids, "labels": torch.cat([torch.full_like(targets[:, :1], -100), targets[:, :-1]], 1)}
    arguments |= {"use_cache": False, "return_dict": True}
    if offsets is not None:
        arguments["cu_seqlens"] = offsets
    depth = built.config.num_hidden_layers
    questions = [_part(SPECS[model.layer], x.inputs, f"{model.trunk}.layers.{i}.{model.mixer}.", f"layers.{i}.") for i in range(depth)]
    states = {p.name for p in spec.outputs if "N" in p.dims}
    before = [layer.load(q) for q in questions]
    given = any(s is not None for states in before for s in states.values())
    if want & states or given:
        from fla.models.utils import Cache

        cache = Cache()
        for i, state in enumerate(before):
            if given:
                cache.update(layer_idx=i, offset=0, **state)
        arguments |= {"use_cache": True, "past_key_values": cache}
    result = functional_call(built, parameters, (), arguments)
    outputs = {"logits": result.logits, "loss": result.loss.reshape(targets.shape)}
    if want & states:
        for i, question in enumerate(questions):
            kept = layer.keep(result.past_key_values[i], question)
            outputs |= {f"layers.{i}.{name}": state for name, state in kept.items()}
    return {p.name: outputs.get(p.name) for p in spec.outputs if p.name in want}


def _criterion(x):
    import torch

    if x.get("input_ids").is_cuda:
        from fla.modules import FusedCrossEntropyLoss

        return FusedCrossEntropyLoss(reduction="none")
    return torch.nn.CrossEntropyLoss(reduction="none")


# a hybrid stack is another spec of the same model
MODELS = {
    "abc_model": Model(
        "fla.models.abc", "ABCConfig", "ABCForCausalLM", "abc_layer",
        fields=dict.fromkeys(("conv_bias", "gate_low_rank_dim", "gate_logit_normalizer", "use_input_gate", "use_output_gate", "use_norm", "gate_fn")),
    ),
    "bitnet_model": Model(
        "fla.models.bitnet", "BitNetConfig", "BitNetForCausalLM", "bitattn_layer",
        fields=dict.fromkeys(("norm_eps",)),
    ),
    "comba_model": Model(
        "fla.models.comba", "CombaConfig", "CombaForCausalLM", "comba_layer",
        fields=dict.fromkeys(("use_output_correction", "use_inner_decay", "correction_factor", "conv_bias")),
    ),
    "cyclic_flow_attention_model": Model("fla.models.cyfa", "CyclicFlowAttentionConfig", "CyclicFlowAttentionForCausalLM", "cyfa_layer"),
    "delta_net_model": Model(
        "fla.models.delta_net", "DeltaNetConfig", "DeltaNetForCausalLM", "delta_net_layer",
        fields=dict.fromkeys(("d_model", "conv_bias")),
    ),
    "deltaformer_model": Model(
        "fla.models.deltaformer", "DeltaFormerConfig", "DeltaFormerForCausalLM", "deltaformer_layer",
        fields={"max_position_embeddings": "rope_max_position_embeddings"},
    ),
    "forgetting_transformer_model": Model("fla.models.forgetting_transformer", "ForgettingTransformerConfig", "ForgettingTransformerForCausalLM", "forgetting_attn_layer"),
    "gated_deltanet_model": Model(
        "fla.models.gated_deltanet", "GatedDeltaNetConfig", "GatedDeltaNetForCausalLM", "gated_deltanet_layer",
        fields=dict.fromkeys(("conv_bias",)),
    ),
    "gated_deltaproduct_model": Model(
        "fla.models.gated_deltaproduct", "GatedDeltaProductConfig", "GatedDeltaProductForCausalLM", "gated_deltaproduct_layer",
        fields=dict.fromkeys(("num_v_heads", "conv_bias")),
    ),
    "gla_model": Model(
        "fla.models.gla", "GLAConfig", "GLAForCausalLM", "gla_layer",
        fields=dict.fromkeys(("conv_bias", "gate_logit_normalizer", "gate_low_rank_dim", "gate_fn")),
    ),
    "gsa_model": Model(
        "fla.models.gsa", "GSAConfig", "GSAForCausalLM", "gsa_layer",
        fields=dict.fromkeys(("conv_bias", "scale", "gate_fn")),
    ),
    "hgrn_model": Model(
        "fla.models.hgrn", "HGRNConfig", "HGRNForCausalLM", "hgrn_layer",
        fields=dict.fromkeys(("conv_bias",)), more=lambda x: {"use_lower_bound": bool(x["use_lower_bound"])},
    ),
    "hgrn2_model": Model(
        "fla.models.hgrn2", "HGRN2Config", "HGRN2ForCausalLM", "hgrn2_layer",
        fields=dict.fromkeys(("conv_bias",)), more=lambda x: {"use_lower_bound": bool(x["use_lower_bound"])},
    ),
    "kda_model": Model(
        "fla.models.kda", "KDAConfig", "KDAForCausalLM", "kda_layer",
        fields=dict.fromkeys(("conv_bias",)),
    ),
    "lightnet_model": Model(
        "fla.models.lightnet", "LightNetConfig", "LightNetForCausalLM", "lightnet_layer",
        fields=dict.fromkeys(("conv_bias",)),
    ),
    "linear_attn_model": Model(
        "fla.models.linear_attn", "LinearAttentionConfig", "LinearAttentionForCausalLM", "linear_attn_layer",
        fields={"output_norm": None, "do_feature_map_norm": "norm_feature_map"},
    ),
    "log_linear_mamba2_model": Model(
        "fla.models.log_linear_mamba2", "LogLinearMamba2Config", "LogLinearMamba2ForCausalLM", "log_linear_mamba2_layer",
        fields=dict.fromkeys(("conv_init", "dt_init_floor", "backend")), trunk="backbone", mixer="mixer",
    ),
    "mamba_model": Model(
        "fla.models.mamba", "MambaConfig", "MambaForCausalLM", "mamba_layer",
        fields={"dt_init": "dt_init_scheme", "backend": None}, trunk="backbone", mixer="mixer",
    ),
    "mamba2_model": Model(
        "fla.models.mamba2", "Mamba2Config", "Mamba2ForCausalLM", "mamba2_layer",
        fields=dict.fromkeys(("backend",)), trunk="backbone", mixer="mixer",
    ),
    "mamba3_model": Model(
        "fla.models.mamba3", "Mamba3Config", "Mamba3ForCausalLM", "mamba3_layer",
        fields=dict.fromkeys(("device", "dtype")), trunk="backbone", mixer="mixer",
    ),
    "mesa_net_model": Model(
        "fla.models.mesa_net", "MesaNetConfig", "MesaNetForCausalLM", "mesa_net_layer",
        fields=dict.fromkeys(("conv_bias",)),
    ),
    "mla_model": Model("fla.models.mla", "MLAConfig", "MLAForCausalLM", "mla_layer"),
    "moba_model": Model("fla.models.moba", "MoBAConfig", "MoBAForCausalLM", "moba_layer"),
    "mom_model": Model(
        "fla.models.mom", "MomConfig", "MomForCausalLM", "mom_layer",
        fields=dict.fromkeys(("conv_bias",)),
    ),
    "nsa_model": Model("fla.models.nsa", "NSAConfig", "NSAForCausalLM", "nsa_layer"),
    "parallax_model": Model("fla.models.parallax", "ParallaxConfig", "ParallaxForCausalLM", "parallax_layer"),
    "path_attn_model": Model(
        "fla.models.path_attn", "PaTHAttentionConfig", "PaTHAttentionForCausalLM", "path_attn_layer",
        fields=dict.fromkeys(("use_qk_norm", "conv_size", "conv_bias")),
    ),
    "precond_gated_deltanet_model": Model(
        "fla.models.precond_gated_deltanet", "PrecondGatedDeltaNetConfig", "PrecondGatedDeltaNetForCausalLM", "precond_gated_deltanet_layer",
        fields=dict.fromkeys(("conv_bias",)),
    ),
    "precond_kda_model": Model(
        "fla.models.precond_kda", "PrecondKDAConfig", "PrecondKDAForCausalLM", "precond_kda_layer",
        fields=dict.fromkeys(("conv_bias",)),
    ),
    "raven_model": Model(
        "fla.models.raven", "RavenConfig", "RavenForCausalLM", "raven_layer",
        fields=dict.fromkeys(("scale", "use_short_conv", "gate_fn")),
    ),
    "retnet_model": Model(
        "fla.models.retnet", "RetNetConfig", "RetNetForCausalLM", "multiscale_retention_layer",
        fields=dict.fromkeys(("use_short_conv", "conv_size", "conv_bias", "gate_fn")),
    ),
    "samba_model": Model(
        "fla.models.samba", "SambaConfig", "SambaForCausalLM", "mamba_layer",
        fields={"use_conv_bias": None, "dt_rank": "time_step_rank", "dt_min": None, "dt_max": None, "dt_init": None, "dt_scale": None, "dt_init_floor": None, "hidden_act": None, "backend": None}, trunk="backbone", mixer="mixer",
        more=lambda x: {"intermediate_size": x.I},  # of Mamba; that of the feed-forward network follows from hidden_ratio
    ),
    "stickbreaking_attn_model": Model("fla.models.stickbreaking_attn", "StickBreakingAttentionConfig", "StickBreakingAttentionForCausalLM", "stickbreaking_attn_layer"),
    "transformer_model": Model("fla.models.transformer", "TransformerConfig", "TransformerForCausalLM", "attn_layer"),
    "wall_transformer_model": Model("fla.models.wall_transformer", "WallTransformerConfig", "WallTransformerForCausalLM", "wall_attn_layer"),
}

MODELS |= {f"{name}@1": model for name, model in MODELS.items()}
