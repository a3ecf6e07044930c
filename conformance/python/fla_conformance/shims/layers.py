"""flash-linear-attention 0.6.0's layers: which class a spec is, how it is built from extents and options, and how
states go into its cache and come out of it."""

import importlib
from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatch

from fla_conformance.ports import SPECS
from fla_conformance.shim import Declined, mode


class Question:
    """Extents by name (`x.D`), options and tensors by name (`x["use_gate"]`, `x.get("h0")`) of one call."""

    def __init__(self, spec, inputs, cu_seqlens=None):
        self.inputs, self.attrs, self.cu_seqlens, self.ports = inputs, dict(spec.attrs), cu_seqlens, spec.input
        for name, x in inputs.items():
            port = spec.input(name)
            if port is None:
                self.attrs[name] = x
            elif x is not None:
                self.__dict__.update(zip(port.dims, x.shape))
        # what no tensor has: an extent of something that the options leave out
        missing = {d for p in spec.inputs for d in p.dims} - set(self.__dict__)
        self.__dict__.update(dict.fromkeys(missing, 1))

    def __getitem__(self, name):
        return self.attrs[name]

    def get(self, name):
        """The tensor of that name, or None."""
        return self.inputs.get(name)

    def has(self, pattern):
        """Whether a tensor is given whose name fits."""
        return any(x is not None and fnmatch(name, pattern.replace("[", "[[]")) for name, x in self.inputs.items())

    @property
    def device(self):
        """Where the tensors are."""
        return next(x.device for x in self.inputs.values() if hasattr(x, "device"))

    def neutral(self, port):
        """What an absent tensor stands for."""
        import torch

        floats = {n: x for n, x in self.inputs.items() if hasattr(x, "device") and x.is_floating_point()}
        # in the type of its like: what is always f32 says nothing about the weights beside it
        like = next((x for n, x in floats.items() if self.ports(n).single == port.single), next(iter(floats.values())))
        dtype = torch.float32 if port.single and like.dtype != torch.float64 else like.dtype
        return torch.full([getattr(self, d) for d in port.dims], port.neutral, dtype=dtype, device=like.device)


def _recurrent(x):
    """What most layers keep: a state, value-first, and the last inputs of the convolutions of q, k and v."""
    return {"recurrent_state": value_first(x.get("h0")), "conv_state": convolutions(x, "q", "k", "v")}


def _kept(state, x):
    return {"ht": value_first(state["recurrent_state"])} | convolved(state["conv_state"], x, "q", "k", "v")


def value_first(h):
    """[N, H, K, V] as [N, H, V, K], and back."""
    return None if h is None else h.transpose(-1, -2)


def convolutions(x, *names):
    """The states `<name>_conv0` [N, .., K, W] as fla keeps them, [N, ..·K, W]; None when there is none."""
    if all(x.get(f"{name}_conv0") is None for name in names):
        return None
    return tuple(None if (c := x.get(f"{name}_conv0")) is None else c.flatten(1, -2) for name in names)


def convolved(states, x, *names):
    """The states `<name>_convt` [N, .., K, W] from fla's, but for the column that no tap reads any more."""
    weights = {name: x.get(f"{name}_conv1d.weight") for name in names}
    pairs = [(name, c) for name, c in zip(names, states or ()) if c is not None and weights[name] is not None]
    return {f"{name}_convt": unread(c).unflatten(1, weights[name].shape[:-1]) for name, c in pairs}


def unread(conv):
    """The state of a convolution [N, D, W] with zeros in its oldest column, as the spec has it."""
    import torch

    return torch.cat([torch.zeros_like(conv[..., :1]), conv[..., 1:]], -1)


@dataclass(frozen=True)
class Layer:
    """One of fla's classes."""

    module: str
    name: str
    # constructor arguments of a question
    arguments: object
    # values of the constructor's `mode`, which are the forms; classes without one have the form "layer"
    forms: tuple = ("chunk", "fused_recurrent")
    # spec's name of a parameter -> the class's, where they differ: a dict, or a function of the question
    names: object = field(default_factory=dict)
    # states of a question as the cache of the layer, and outputs from the cache after it
    load: object = _recurrent
    keep: object = _kept
    # further arguments of `forward` of a question
    forward: object = lambda x: {}
    # the argument of `forward` that takes the cache
    cache: str = "past_key_values"
    # outputs of what `forward` returns, besides those in the cache
    outputs: object = lambda result, x: {"o": result[0]}

    def build(self, x, form):
        """The layer of a question."""
        mode = {"mode": form} if "layer" not in self.forms else {}
        return getattr(importlib.import_module(self.module), self.name)(**self.arguments(x), **mode)


def parameters(layer, module, x, spec):
    """The class's parameters from the question's tensors: parts of one name joined, extents merged, names mapped."""
    names = layer.names(x) if callable(layer.names) else layer.names
    found, own = {}, dict(module.named_parameters())
    for name, joined in weights(x, spec, lambda name: names.get(name, name) in own).items():
        # what `forward` takes
        if names.get(name, name) is not None:
            found[names.get(name, name)] = joined
    for name in own:
        if name not in found and any(p.name == name for p in spec.inputs):
            raise Declined(f"{layer.name} is never without {name}")
        if name not in found:
            shape = list(own[name].shape)
            raise ValueError(f"{layer.name} has a parameter {name} {shape}, and the spec none of that name")
    for name, tensor in found.items():
        if name not in own or tensor.shape != own[name].shape:
            has = list(own[name].shape) if name in own else "none"
            raise ValueError(f"{layer.name}: {name} of shape {list(tensor.shape)} for a parameter of shape {has}")
    return found


def weights(x, spec, needed=lambda name: False):
    """The question's tensors that are weights, by upstream's names: parts of one name joined, extents merged.

    An absent one is what it stands for where another part of its name is given, or where it is needed.
    """
    import torch

    parts, base = defaultdict(list), lambda port: port.name.split("[")[0]
    ports = [p for p in spec.given(x.attrs) if not {"N", "T"} & set(p.dims)]
    given = {base(p) for p in ports if x.get(p.name) is not None}
    for port in ports:
        tensor = x.get(port.name)
        if tensor is None and (base(port) in given or port.optional and needed(base(port).replace("*", "0"))):
            tensor = x.neutral(port)
        if tensor is not None:
            parts[base(port)].append((tensor, merged(tensor, port)))
    whole = {name: [tensor for _, tensor in pairs] for name, pairs in parts.items()}
    joined = {name: torch.cat(tensors) if len(tensors) > 1 else tensors[0] for name, tensors in whole.items()}
    for name in [n for n in joined if "*" in n]:
        # a list of modules, whose parameters are one after the other
        one_by_one = joined.pop(name).chunk(parts[name][0][0].shape[0])
        joined |= {name.replace("*", str(i)): part for i, part in enumerate(one_by_one)}
    return joined


def merged(tensor, port):
    """A tensor of the spec's extents in the shape of upstream's parameter."""
    if not port.merged:
        return tensor
    shape, rest = [], list(tensor.shape)
    for count in port.merged:
        size = 1
        for extent in rest[:count]:
            size *= extent
        shape, rest = [*shape, size], rest[count:]
    return tensor.reshape(shape)


_STATES = ("recurrent_state", "attn_state", "conv_state", "ffn_state")


class Cache:
    """What a layer asks of a cache, for one layer; states are kept as they are, with their gradients."""

    def __init__(self, state=None):
        self.state, self.seen = state, 0

    def __len__(self):
        # layers ask as the first or the second of a model
        return 2 * int(self.state is not None)

    def __getitem__(self, layer):
        return self.state or dict.fromkeys(_STATES)

    def get_seq_length(self, layer=0):
        """Tokens before this call."""
        return self.seen

    def update(self, layer_idx=0, offset=1, cache_kwargs=None, **states):
        """Takes what is not None."""
        empty = dict.fromkeys(_STATES)
        self.state = empty | (self.state or {}) | {k: v for k, v in states.items() if v is not None}
        self.seen += offset or 0
        return self.state


def call(op, layer, form, inputs, want):
    """Outputs of one of fla's layers, by the spec's names."""
    from torch.func import functional_call

    spec = SPECS[op]
    offsets = inputs.pop("cu_seqlens", None)
    x = Question(spec, inputs, offsets)
    module = layer.build(x, form).to(x.device)
    module.train(module.training and mode() != "evaluation")
    cache = None
    states = {p.name for p in spec.outputs if "N" in p.dims}
    before = layer.load(x)
    if want & states or any(s is not None for s in before.values()):
        given = any(s is not None for s in before.values())
        cache = Cache(dict.fromkeys(_STATES) | before if given else None)
    arguments = layer.forward(x) | {"use_cache": cache is not None, layer.cache: cache}
    if offsets is not None:
        arguments["cu_seqlens"] = offsets
    result = functional_call(module, parameters(layer, module, x, spec), (x.get("x"),), arguments)
    result = result if isinstance(result, tuple) else (result,)
    outputs = layer.outputs(result, x) | (layer.keep(cache.state, x) if cache else {})
    return {p.name: outputs.get(p.name) for p in spec.outputs if p.name in want or p.name == "o"}


def _gla(x):
    return {
        "hidden_size": x.D,
        "num_heads": x.HQ,
        "num_kv_heads": x.H,
        "expand_k": x.HQ * x.K / x.D,
        "expand_v": x.HQ * x.V / x.D,
        "feature_map": None if x["feature_map"] == "none" else x["feature_map"],
        "use_short_conv": x["use_short_conv"],
        "conv_size": x.W,
        "conv_bias": x.has("*_conv1d.bias"),
        "use_output_gate": x["use_output_gate"],
        "gate_fn": x["gate_fn"],
        "elementwise_affine": x.has("g_norm_swish_gate.weight") or x.has("g_norm.weight"),
        "norm_eps": x["norm_eps"],
        "gate_logit_normalizer": x["gate_logit_normalizer"],
        "gate_low_rank_dim": x.E,
        "clamp_min": x["clamp_min"],
        "layer_idx": 0,
    }


LAYERS = {
    "gla_layer": Layer(
        "fla.layers.gla",
        "GatedLinearAttention",
        _gla,
        names=lambda x: {} if x["gate_fn"] == "swish" else {"g_norm_swish_gate.weight": "g_norm.weight"},
    ),
}

# they import this module
from fla_conformance.shims import layers_decay, layers_delta, layers_softmax, layers_ssm  # noqa: E402

LAYERS |= layers_decay.LAYERS | layers_delta.LAYERS | layers_softmax.LAYERS | layers_ssm.LAYERS
