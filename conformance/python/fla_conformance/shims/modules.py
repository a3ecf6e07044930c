"""flash-linear-attention 0.6.0's modules: which class or function a spec is, how it is built from extents and options,
and what it is called with."""

import importlib
import inspect
from dataclasses import dataclass, field

from fla_conformance.ports import SPECS
from fla_conformance.shim import Declined
from fla_conformance.shims.layers import Question, merged, unread


@dataclass(frozen=True)
class Module:
    """One of fla's classes or functions."""

    # qualified name, or a function of the question that gives it
    path: object
    # what it is called with, of a question
    forward: object
    # constructor arguments of a question, of a class
    arguments: object = lambda x: {}
    # spec's name of a parameter -> the class's, where they differ
    names: dict = field(default_factory=dict)
    # outputs of what it returns
    outputs: object = lambda result, x: {"o": result}
    # how a question is asked, of the question, its spec and a function that asks it, where not just so
    ask: object = lambda x, spec, answers: answers(x)

    def load(self, x):
        """The class or function of a question."""
        module, _, name = (self.path(x) if callable(self.path) else self.path).rpartition(".")
        return getattr(importlib.import_module(module), name)


def call(op, module, inputs, want):
    """Outputs of one of fla's modules, by the spec's names."""
    spec = SPECS[op]
    offsets = inputs.pop("cu_seqlens", None)
    x = Question(spec, inputs)
    x.cu_seqlens = offsets
    outputs = module.ask(x, spec, lambda x: _answers(module, x, spec))
    return {p.name: outputs.get(p.name) for p in spec.outputs if p.name in want or p is spec.outputs[0]}


def _answers(module, x, spec):
    from torch.func import functional_call

    thing = module.load(x)
    arguments = module.forward(x)
    if inspect.isclass(thing):
        built = thing(**module.arguments(x)).to(x.device)
        result = functional_call(built, _parameters(module, built, x, spec), (), arguments)
    elif inspect.ismethod(thing):
        # the `apply` of an autograd function, which knows no names
        result = thing(*arguments.values())
    else:
        result = thing(**arguments)
    return module.outputs(result, x)


def _parameters(module, built, x, spec):
    """The class's parameters from the question's tensors."""
    own = {name: p for name, p in built.named_parameters() if p.requires_grad}
    found = {}
    for port in spec.inputs:
        name = module.names.get(port.name, port.name)
        if name in own and (x.has(port.name) or port.optional):
            tensor = x.get(port.name) if x.has(port.name) else x.neutral(port)
            found[name] = merged(tensor, port).view(own[name].shape)
    for name in own:
        if name not in found:
            raise Declined(f"{type(built).__name__} always has the parameter {name}")
    # what is not learnt is in the model's type too
    fixed = {name: p.to(x.get("x").dtype) for name, p in built.named_parameters() if not p.requires_grad}
    return found | fixed


def without(x, *names):
    """Declines a question with any of these inputs."""
    for name in names:
        if x.has(name):
            raise Declined(f"takes no {name}")


def _unpacked(x):
    if x.cu_seqlens is not None:
        raise Declined("knows no packing")


_ACTIVATIONS = {
    "swish": "fla.modules.activations.swish",
    "sigmoid": "fla.modules.activations.sigmoid",
    "logsigmoid": "fla.modules.activations.logsigmoid",
    "elu_p1": "fla.modules.activations.elu_p1",
    "sqrelu": "fla.modules.activations.sqrelu",
    "gelu": "fla.modules.activations.fast_gelu_impl",
    "relu": "fla.modules.feature_map.ReLUFeatureMap",
}


def _activation(x):
    if not x.has("bias"):
        return _ACTIVATIONS[x["kind"]]
    if x["kind"] != "gelu":
        raise Declined("only gelu has a bias")
    return "fla.modules.activations.ops.bias_gelu_impl"


def _activated(x):
    if x.has("bias"):
        # the gradient of the bias is summed over the first axis alone
        return {"input": x.get("x").flatten(0, 1), "bias": x.get("bias")}
    if x["temperature"] == 1:
        return {"x": x.get("x")}
    if x["kind"] != "logsigmoid":
        raise Declined("only logsigmoid has a temperature")
    return {"x": x.get("x"), "temperature": x["temperature"]}


_GATES = {"swish": "swiglu", "sigmoid": "sigmoidglu", "powlu": "powglu"}


def _glu(x):
    power = {"power": x["power"]} if x["gate"] == "powlu" else {}
    return {"x": x.get("x"), "y": x.get("y")} | power


def _lerped(x):
    from fla.modules.token_shift import token_shift

    delta, x.last = token_shift(x.get("x"), x.cu_seqlens, cache=x.get("x0"), output_cache=True)
    mu = {"mu": x.get("mu_t")} if x["data_dependent"] else {}
    return {"x": x.get("x"), "delta": delta} | mu


def _long(x):
    _unpacked(x)
    without(x, "k_rev")
    if x.L > x.get("x").shape[1]:
        raise Declined("taps beyond the sequence wrap around")
    return {"x": x.get("x")}


def _by_fourier(x):
    _unpacked(x)
    rest = {"dropout_mask": None, "gelu": False, "k_rev": x.get("k_rev")}
    return {"u": x.get("x").transpose(1, 2), "k": x.get("filter")} | rest


def _only_x(x):
    return {"x": x.get("x")}


def _rotated(x):
    whole = int(x["offset"])
    if whole != x["offset"]:
        raise Declined("positions are whole numbers")
    # as many positions as the packed row has beyond the offset, which is what its kernel asks for
    positions = x.get("x").shape[1] + whole
    lengths = {} if x.cu_seqlens is None else {"cu_seqlens": x.cu_seqlens, "max_seqlen": positions}
    return {"q": x.get("x"), "k": x.get("x").detach().clone(), "seqlen_offset": whole} | lengths


def _feature_map(name, **arguments):
    built = lambda x: {"head_dim": x.K} | {fla: of(x) for fla, of in arguments.items()}
    return {"module": Module(f"fla.modules.feature_map.{name}", _only_x, built)}


MODULES = {
    "activation": {
        "module": Module(_activation, _activated, outputs=lambda o, x: {"o": o.view(x.get("x").shape)}),
    },
    "glu": {"module": Module(lambda x: f"fla.modules.activations.{_GATES[x['gate']]}", _glu)},
    "glu_linear": {
        "module": Module(
            lambda x: f"fla.modules.activations.{_GATES[x['gate']]}_linear",
            lambda x: _glu(x) | {"weight": x.get("weight"), "bias": x.get("bias")},
        ),
    },
    "gated_mlp": {
        "module": Module(
            "fla.modules.GatedMLP",
            _only_x,
            lambda x: {
                "hidden_size": x.D,
                "intermediate_size": x.I,
                "hidden_act": x["hidden_act"],
                "powglu_power": x["powglu_power"],
            },
        ),
    },
    "l2_norm": {"module": Module("fla.modules.L2Norm", _only_x, lambda x: {"eps": x["eps"]})},
    "rotary": {
        "module": Module(
            "fla.modules.RotaryEmbedding",
            _rotated,
            lambda x: {"dim": int(x["dim"] or x.K), "base": x["base"], "interleaved": x["interleaved"]},
            outputs=lambda result, x: {"o": result[0]},
        ),
    },
    "short_convolution": {
        "module": Module(
            "fla.modules.ShortConvolution",
            lambda x: {
                "x": x.get("x"),
                "residual": x.get("residual"),
                "cache": x.get("x0"),
                "output_final_state": True,
                "cu_seqlens": x.cu_seqlens,
            },
            lambda x: {
                "hidden_size": x.D,
                "kernel_size": x.W,
                "bias": x.has("bias"),
                "activation": "swish" if x["swish"] else None,
            },
            outputs=lambda result, x: {"o": result[0], "xt": unread(result[1])},
        ),
    },
    "token_shift": {
        "module": Module(
            "fla.modules.token_shift.token_shift",
            lambda x: {"x": x.get("x"), "cu_seqlens": x.cu_seqlens, "cache": x.get("x0"), "output_cache": True},
            outputs=lambda result, x: {"o": result[0], "xt": result[1]},
        ),
    },
    "lora": {
        "module": Module(
            "fla.layers.rwkv6.LoRA",
            _only_x,
            lambda x: {
                "input_dim": x.D,
                "output_dim": x.I,
                "low_rank_dim": x.E,
                "bias": x.has("lora.2.bias"),
                "activation": None if x["activation"] == "none" else x["activation"],
            },
        ),
    },
    "lerp_linear": {
        "module": Module(
            lambda x: f"fla.layers.rwkv6.{'DD' if x['data_dependent'] else ''}LerpLinear",
            _lerped,
            lambda x: {"input_dim": x.D, "output_dim": x.I, "low_rank_dim": x.E if x["low_rank"] else None},
            outputs=lambda o, x: {"o": o, "xt": x.last},
        ),
    },
    "long_convolution": {
        "module": Module("fla.modules.LongConvolution", _long, lambda x: {"hidden_size": x.D, "max_len": x.L}),
        "function": Module(
            "fla.modules.long_conv.fft_conv", _by_fourier, outputs=lambda o, x: {"o": o.transpose(1, 2)}
        ),
    },
    "implicit_long_convolution": {
        "module": Module(
            "fla.modules.ImplicitLongConvolution",
            lambda x: _unpacked(x) or _only_x(x),
            lambda x: {"hidden_size": x.D, "max_len": int(x["max_len"]), "d_emb": x.E, "d_hidden": x.I},
        ),
    },
    "feature_map_dpfp": _feature_map("DPFPFeatureMap", nu=lambda x: int(x["nu"])),
    "feature_map_hadamard": _feature_map("HadamardFeatureMap"),
    "feature_map_hedgehog": _feature_map("HedgehogFeatureMap"),
    "feature_map_outer_product": _feature_map("LearnableOuterProductFeatureMap", feature_dim=lambda x: x.I),
    "feature_map_polysketch": _feature_map(
        "LearnablePolySketchNonNegativeFeatureMap",
        sketch_size=lambda x: x.I,
        degree=lambda x: 8 if x["degree_8"] else 4,
    ),
    "feature_map_rebased": _feature_map(
        "RebasedFeatureMap",
        use_gamma=lambda x: x.has("gamma"),
        use_beta=lambda x: x.has("beta"),
        normalize=lambda x: x["normalize"],
    ),
    "feature_map_t2r": _feature_map(
        "T2RFeatureMap", dot_dim=lambda x: x.M, bias=lambda x: x.has("layer.bias")
    ),
    "feature_map_taylor": _feature_map("TaylorFeatureMap"),
}

# they import this module
from fla_conformance.shims import losses, norms  # noqa: E402

MODULES |= norms.NORMS | losses.LOSSES
