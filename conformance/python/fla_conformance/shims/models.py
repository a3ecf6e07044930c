"""flash-linear-attention 0.6.0's models: which classes a spec is, and how it is configured from extents and options."""

import importlib
import inspect
from dataclasses import dataclass, field

from fla_conformance.ports import SPECS
from fla_conformance.shim import Declined, mode
from fla_conformance.shims.layers import LAYERS, Question, weights

# a field that the configuration computes from others
DERIVED = object()


@dataclass(frozen=True)
class Model:
    """One of fla's models: package, stem of its classes' names, layer, and how its configuration is written."""

    package: str
    stem: str
    layer: str
    # constructor arguments of the layer that the configuration does not have
    without: tuple = ()
    # constructor argument of the layer -> field of the configuration, where they differ
    renamed: dict = field(default_factory=dict)
    # further fields of a question
    more: object = lambda x: {}
    trunk: str = "model"
    mixer: str = "attn"
    # where training is another function
    evaluated: bool = False
    # whether it needs a mask of all tokens so far to go on from a cache
    masked: bool = False

    @property
    def name(self):
        """The class."""
        return f"{self.stem}ForCausalLM"

    def load(self, name):
        """A class of the package."""
        return getattr(importlib.import_module(f"fla.models.{self.package}"), name)

    def part(self, x, i):
        """The question that the i-th layer is asked, by the names of the layer's own spec."""
        spec, prefix, state = SPECS[self.layer], f"{self.trunk}.layers.{i}.{self.mixer}.", f"layers.{i}."
        found = {name: value for name, value in x.inputs.items() if name in spec.attrs}
        for port in spec.inputs:
            names = (prefix + port.name, state + port.name)
            found[port.name] = next((x.inputs[n] for n in names if n in x.inputs), None)
        embeddings = x.get(f"{self.trunk}.embeddings.weight")
        # what it reads is known by its extents alone
        found["x"] = embeddings.new_empty(*x.get("input_ids").shape, embeddings.shape[1])
        return Question(spec, {n: value for n, value in found.items() if value is not None}, x.cu_seqlens)

    @property
    def forms(self):
        """The forms of its layer."""
        return LAYERS[self.layer].forms

    def configuration(self, op, x, form):
        """The configuration of a question."""
        return _configuration(self, op, x, form)

    def blocks(self, op, x):
        """What keeps states in the cache, by the number of its block: layers, questions, names of their states."""
        prefix = f"{self.trunk}.layers."
        depth = len({n.removeprefix(prefix).split(".")[0] for n in x.inputs if n.startswith(prefix)})
        own = [i for i in range(depth) if i not in _softmax(op)]
        return {i: [(LAYERS[self.layer], self.part(x, i), f"layers.{i}.")] for i in own}

    def arguments(self, x):
        """Further arguments of `forward`."""
        return {}


def part(name, x, prefix, states, fixed=None):
    """A layer of a model, its question, by the names of its own spec, and what its states are called."""
    spec, own = SPECS[name], {}
    for port in spec.inputs:
        own[port.name] = next((x.get(n + port.name) for n in (prefix, states) if x.has(n + port.name)), None)
    question = Question(spec, {n: tensor for n, tensor in own.items() if tensor is not None}, x.cu_seqlens)
    question.B, question.T = x.B, x.T
    question.attrs |= {n: x.attrs[n] for n in spec.attrs if n in x.attrs} | (fixed or {})
    return LAYERS[name], question, states


def _softmax(op):
    """The blocks of a stack that have softmax attention."""
    return [int(i) for i in op.partition("@")[2].split("+") if i]


def _configuration(model, op, x, form):
    depth = len({n.split(".")[2] for n in x.inputs if n.startswith(f"{model.trunk}.layers.")})
    config = {
        "vocab_size": x.S,
        "num_hidden_layers": depth,
        "intermediate_size": getattr(x, "F", DERIVED),
        "norm_eps": x["norm_eps"],
        "tie_word_embeddings": bool(x["tie_word_embeddings"]),
        "attn_mode": form,
        # the loss of each token is asked for, by what `call` sets
        "fuse_cross_entropy": False,
        "fuse_linear_cross_entropy": False,
    }
    if x.attrs.get("attnres"):
        config["attnres_block_size"] = int(x["attnres_block_size"])
    if _softmax(op):
        window = x["attn.window_size"]
        config["attn"] = {
            "layers": _softmax(op),
            "num_heads": x.AQ,
            "num_kv_heads": x.AH,
            "qkv_bias": bool(x["attn.qkv_bias"]),
            "window_size": window if window is None else int(window),
            "rope_theta": float(x.attrs.get("attn.rope_theta", 10000.0)),
        }
    elif f"{op}@1" in SPECS:
        # Samba has some unless told otherwise
        config["attn"] = None
    config = _of_the_layer(model, x) | config | model.more(x)
    config = {name: value for name, value in config.items() if value is not DERIVED}
    # without a symbol for padding every embedding has its gradient
    return model.load(f"{model.stem}Config")(**config, pad_token_id=None)


def _of_the_layer(model, x):
    """What the configuration says of the layers, of which the first is never one of softmax attention."""
    layer, found = LAYERS[model.layer], {}
    for argument, value in layer.arguments(model.part(x, 0)).items():
        if argument == "layer_idx":
            continue
        if argument not in model.without:
            found[model.renamed.get(argument, argument)] = value
        elif value != _default(layer, argument):
            raise Declined(f"{model.stem}Config has no {argument}")
    return found


def _default(layer, argument):
    function = getattr(importlib.import_module(layer.module), layer.name).__init__
    return inspect.signature(function).parameters[argument].default


def call(op, model, form, inputs, want):
    """Logits, losses and states of one of fla's models, by the spec's names."""
    from torch.func import functional_call

    spec = SPECS[op]
    x = Question(spec, inputs, inputs.pop("cu_seqlens", None))
    built = model.load(model.name)(model.configuration(op, x, form)).to(x.device)
    own = {n for n, _ in built.named_parameters()}
    parameters = weights(x, spec, own.__contains__)
    if own != set(parameters):
        raise ValueError(f"{model.name}: parameters that only one side has: {sorted(own ^ set(parameters))}")
    built.criterion = _criterion(x)
    built.train(not model.evaluated and mode() in (None, "recompute"))
    blocks = model.blocks(op, x)
    states = {i: dict(s for layer, own, _ in block for s in layer.load(own).items()) for i, block in blocks.items()}
    cached = bool(want & {p.name for p in spec.outputs if "N" in p.dims})
    arguments = _arguments(x, states, cached) | model.arguments(x)
    if (mode() or "").startswith("decode "):
        result = _decoded(built, parameters, arguments, int(mode().split()[1]), model.masked)
    elif mode() == "recompute":
        result = _recomputed(built, parameters, arguments)
    else:
        result = functional_call(built, parameters, (), arguments)
    # the first block mixes nothing and has no lower bound: what is not read has gradients of 0, and not none
    unread = (f"{model.trunk}.layers.0.attn_res_", f"{model.trunk}.lower_bounds")
    unread = sum(0 * p.sum() for n, p in parameters.items() if n.startswith(unread))
    outputs = {"logits": result.logits + unread, "loss": _losses(built.criterion, result, x.get("targets"))}
    if cached:
        for i, block in blocks.items():
            for layer, own, prefix in block:
                kept = layer.keep(result.past_key_values[i], own)
                outputs |= {f"{prefix}{name}": state for name, state in kept.items()}
    # logits nobody asked for have a cotangent of zero: what follows the states has gradients of 0, and not none
    return {p.name: outputs.get(p.name) for p in spec.outputs if p.name in want or p is spec.outputs[0]}


def _decoded(built, parameters, arguments, prefill, masked):
    """What a model gives that reads so many tokens at once, and then one by one, with its own cache."""
    import torch
    from fla.models.utils import Cache
    from torch.func import functional_call
    from transformers.modeling_outputs import CausalLMOutputWithPast

    symbols, labels = arguments.pop("input_ids"), arguments.pop("labels")
    cache, logits = arguments.pop("past_key_values", None) or Cache(), []
    with torch.no_grad():
        for read in (symbols[:, :prefill], *symbols[:, prefill:].split(1, 1)):
            asked = arguments | {"input_ids": read, "use_cache": True, "past_key_values": cache}
            if masked:
                asked["attention_mask"] = torch.ones_like(symbols[:, : sum(x.shape[1] for x in logits) + read.shape[1]])
            answer = functional_call(built, parameters, (), asked)
            cache = answer.past_key_values
            logits.append(answer.logits)
    logits = torch.cat(logits, 1)
    following = torch.cat([labels[:, 1:], labels[:, :1]], 1)
    return CausalLMOutputWithPast(built.criterion(logits.flatten(0, 1), following.flatten()), logits, cache)


def _recomputed(built, parameters, arguments):
    """What a model gives that computes its activations once more on the way back, with these parameters then too."""
    if arguments["use_cache"] or not built.training:
        raise Declined("nothing is computed once more where states are kept, or in evaluation")
    held = {id(own): parameters[name] for name, own in built.named_parameters()}
    for module in built.modules():
        # tied ones are there more than once
        for name, own in list(module._parameters.items()):
            if own is not None:
                del module._parameters[name]
                setattr(module, name, held[id(own)])
    built.gradient_checkpointing_enable({"use_reentrant": False})
    return built(**arguments)


def _arguments(x, states, cached):
    """Arguments of `forward`; with a cache when states are given or asked for."""
    import torch
    from fla.models.utils import Cache

    targets = x.get("targets")
    # fla shifts labels itself
    labels = torch.cat([torch.full_like(targets[:, :1], -100), targets[:, :-1]], 1)
    arguments = {"input_ids": x.get("input_ids"), "labels": labels, "use_cache": False, "return_dict": True}
    if x.cu_seqlens is not None:
        arguments["cu_seqlens"] = x.cu_seqlens
    given = any(s is not None for state in states.values() for s in state.values())
    if not (given or cached):
        return arguments
    cache = Cache()
    if given:
        for i, state in states.items():
            cache.update(layer_idx=i, offset=0, **state)
    return arguments | {"use_cache": True, "past_key_values": cache}


def _losses(criterion, result, targets):
    """The loss of each token: fla's, which shifts labels and so has none for the last token, and that of it."""
    import torch

    last = criterion(result.logits[:, -1], targets[:, -1])
    return torch.cat([result.loss.reshape(targets.shape)[:, :-1], last[:, None]], 1)


def _criterion(x):
    import torch

    if x.get("input_ids").is_cuda:
        from fla.modules import FusedCrossEntropyLoss

        return FusedCrossEntropyLoss(reduction="none")
    return torch.nn.CrossEntropyLoss(reduction="none")


def _expanded(x):
    """An inner width that the configuration gives as a multiple of the model's."""
    # the class rounds down what it multiplies
    return {"expand": x.I // x.D if x.I % x.D == 0 else (x.I + 0.5) / x.D, "intermediate_size": DERIVED}


def _bounded(x):
    return {"use_lower_bound": bool(x["use_lower_bound"])}


def _unbalanced(x):
    """The loss of the tokens alone, without what keeps the memories equally busy."""
    return {"aux_loss_scale": 0.0}


def _blocks_of_256(x):
    """A feed-forward network whose width the configuration gives by a ratio, rounded up."""
    if x.F % 256:
        raise Declined("the width of the feed-forward network is a multiple of 256")
    return {"hidden_ratio": 1.5 * x.F / x.D, "intermediate_size": DERIVED}


def _four_times(x):
    if x.F != 256 * -(-(8 * x.D // 3) // 256):
        raise Declined("the width of the feed-forward network follows from the model's")
    return {"intermediate_size": DERIVED}


BACKBONE = {"trunk": "backbone", "mixer": "mixer"}
CONV_BIAS = ("conv_bias",)

MODELS = {
    "abc_model": Model(
        "abc", "ABC", "abc_layer",
        without=(
            "conv_bias", "gate_low_rank_dim", "gate_logit_normalizer", "use_input_gate", "use_output_gate",
            "use_norm", "gate_fn",
        ),
    ),
    "bitnet_model": Model("bitnet", "BitNet", "bitattn_layer", without=("norm_eps",)),
    "comba_model": Model(
        "comba", "Comba", "comba_layer",
        without=("use_output_correction", "use_inner_decay", "correction_factor", "conv_bias"),
    ),
    "cyclic_flow_attention_model": Model("cyfa", "CyclicFlowAttention", "cyfa_layer"),
    "delta_net_model": Model("delta_net", "DeltaNet", "delta_net_layer", without=("d_model", "conv_bias")),
    "deltaformer_model": Model(
        "deltaformer", "DeltaFormer", "deltaformer_layer",
        renamed={"max_position_embeddings": "rope_max_position_embeddings"},
    ),
    "forgetting_transformer_model": Model(
        "forgetting_transformer", "ForgettingTransformer", "forgetting_attn_layer", masked=True,
    ),
    "gated_deltanet_model": Model("gated_deltanet", "GatedDeltaNet", "gated_deltanet_layer", without=CONV_BIAS),
    "gated_deltaproduct_model": Model(
        "gated_deltaproduct", "GatedDeltaProduct", "gated_deltaproduct_layer",
        without=("num_v_heads", "conv_bias"),
    ),
    "gla_model": Model(
        "gla", "GLA", "gla_layer",
        without=("conv_bias", "gate_logit_normalizer", "gate_low_rank_dim", "gate_fn"),
    ),
    "gsa_model": Model("gsa", "GSA", "gsa_layer", without=("conv_bias", "scale", "gate_fn")),
    "hgrn_model": Model("hgrn", "HGRN", "hgrn_layer", without=CONV_BIAS, more=_bounded),
    "hgrn2_model": Model("hgrn2", "HGRN2", "hgrn2_layer", without=CONV_BIAS, more=_bounded),
    "kda_model": Model("kda", "KDA", "kda_layer", without=CONV_BIAS),
    "lightnet_model": Model("lightnet", "LightNet", "lightnet_layer", without=CONV_BIAS),
    "linear_attn_model": Model(
        "linear_attn", "LinearAttention", "linear_attn_layer",
        without=("output_norm",),
        renamed={"do_feature_map_norm": "norm_feature_map"},
    ),
    "log_linear_mamba2_model": Model(
        "log_linear_mamba2", "LogLinearMamba2", "log_linear_mamba2_layer",
        without=("conv_init", "dt_init_floor", "backend"),
        more=_four_times,
        **BACKBONE,
    ),
    "mamba_model": Model(
        "mamba", "Mamba", "mamba_layer",
        without=("backend",),
        renamed={"dt_init": "dt_init_scheme"},
        more=_expanded,
        **BACKBONE,
    ),
    "mamba2_model": Model("mamba2", "Mamba2", "mamba2_layer", without=("backend",), **BACKBONE),
    "mamba3_model": Model("mamba3", "Mamba3", "mamba3_layer", without=("device", "dtype"), **BACKBONE),
    "mesa_net_model": Model("mesa_net", "MesaNet", "mesa_net_layer", without=CONV_BIAS),
    "mla_model": Model("mla", "MLA", "mla_layer"),
    "moba_model": Model("moba", "MoBA", "moba_layer"),
    "mom_model": Model("mom", "Mom", "mom_layer", without=CONV_BIAS, more=_unbalanced, evaluated=True),
    "nsa_model": Model("nsa", "NSA", "nsa_layer"),
    "parallax_model": Model("parallax", "Parallax", "parallax_layer"),
    "path_attn_model": Model(
        "path_attn", "PaTHAttention", "path_attn_layer", masked=True,
        without=("use_qk_norm", "conv_size", "conv_bias"),
    ),
    "precond_gated_deltanet_model": Model(
        "precond_gated_deltanet", "PrecondGatedDeltaNet", "precond_gated_deltanet_layer",
        without=CONV_BIAS,
    ),
    "precond_kda_model": Model("precond_kda", "PrecondKDA", "precond_kda_layer", without=CONV_BIAS),
    "raven_model": Model("raven", "Raven", "raven_layer", without=("scale", "use_short_conv", "gate_fn")),
    "retnet_model": Model(
        "retnet", "RetNet", "multiscale_retention_layer",
        without=("use_short_conv", "conv_size", "conv_bias", "gate_fn"),
    ),
    "samba_model": Model(
        "samba", "Samba", "mamba_layer",
        without=(
            "use_conv_bias", "dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "hidden_act",
            "backend",
        ),
        renamed={"dt_rank": "time_step_rank"},
        more=lambda x: _expanded(x) | _blocks_of_256(x),
        **BACKBONE,
    ),
    "stickbreaking_attn_model": Model(
        "stickbreaking_attn", "StickBreakingAttention", "stickbreaking_attn_layer",
    ),
    "transformer_model": Model("transformer", "Transformer", "attn_layer"),
    "wall_transformer_model": Model("wall_transformer", "WallTransformer", "wall_attn_layer"),
}

# a hybrid stack is another spec of the same model
MODELS |= {f"{name}@1": model for name, model in MODELS.items() if f"{name}@1" in SPECS}

from fla_conformance.shims import models_own  # noqa: E402 (it imports this)

MODELS |= models_own.MODELS
