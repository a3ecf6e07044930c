"""flash-linear-attention 0.6.0's norms, alone, gated and before a projection."""

from fla_conformance.shim import Declined
from fla_conformance.shims.modules import Module, without


def _normed(x):
    return {"x": x.get("x"), "residual": x.get("residual"), "prenorm": True}


def _norm(x):
    # without a weight the classes have no bias either
    affine = {"elementwise_affine": x.has("weight") or x.has("bias")} | ({"bias": True} if x.has("bias") else {})
    return {"hidden_size": x.D, "eps": x["eps"]} | affine


def _gated_norm(x):
    return _norm(x) | {"activation": x["activation"]}


def _grouped(x):
    return {"num_groups": int(x["num_groups"]), "is_rms_norm": x["rms"]}


def _both(result, x):
    return {"o": result[0], "s": result[1]}


def _norm_linear(x):
    if x["num_groups"] != 1:
        return "fla.modules.GroupNormLinear"
    return "fla.modules.RMSNormLinear" if x["rms"] else "fla.modules.LayerNormLinear"


def _norm_linear_arguments(x):
    affine = {"elementwise_affine": x.has("norm_weight") or x.has("norm_bias"), "bias": x.has("norm_bias")}
    grouped = _grouped(x) if x["num_groups"] != 1 else {}
    return {"hidden_size": x.D, "eps": x["eps"]} | affine | grouped


def _projected(x):
    return _normed(x) | {"weight": x.get("linear_weight"), "bias": x.get("linear_bias")}


def _functional(x, *names):
    rest = {name: x.get(name) for name in names}
    return _normed(x) | rest | {"eps": x["eps"]}


_NORM = {"norm_weight": "weight", "norm_bias": "bias"}
_LINEAR = ("norm_weight", "norm_bias", "linear_weight", "linear_bias")


def _mamba_norm(x):
    after = {"eps": x["eps"], "group_size": x.D // int(x["num_groups"]), "norm_before_gate": x["norm_before_gate"]}
    return {"hidden_size": x.D} | after


def _quantised(x):
    without(x, "residual", "norm.bias")
    if x["norm_eps"] != 1e-8 or not x["rms"]:
        raise Declined("the norm is that of the root mean square, with 1e-8")
    return {"x": x.get("x")}


def _quantised_by_function(x):
    norm = {"norm_weight": x.get("norm.weight"), "norm_bias": x.get("norm.bias"), "is_rms_norm": x["rms"]}
    linear = {"linear_weight": x.get("weight"), "linear_bias": x.get("bias")}
    return _normed(x) | norm | linear | {"eps": x["norm_eps"]}


NORMS = {
    "layer_norm": {"module": Module("fla.modules.LayerNorm", _normed, _norm, outputs=_both)},
    "rms_norm": {"module": Module("fla.modules.RMSNorm", _normed, _norm, outputs=_both)},
    "group_norm": {
        "module": Module("fla.modules.GroupNorm", _normed, lambda x: _norm(x) | _grouped(x), outputs=_both),
    },
    "layer_norm_gated": {
        "module": Module(
            "fla.modules.FusedLayerNormGated",
            lambda x: _normed(x) | {"g": x.get("g")},
            _gated_norm,
            outputs=_both,
        ),
    },
    "rms_norm_gated": {
        "module": Module(
            "fla.modules.FusedRMSNormGated",
            lambda x: _normed(x) | {"g": x.get("g")},
            lambda x: without(x, "bias") or _gated_norm(x),
            outputs=_both,
        ),
        "function": Module(
            "fla.modules.norm.fused_norm_gate.rms_norm_gated",
            lambda x: _functional(x, "g", "weight", "bias") | {"activation": x["activation"]},
            outputs=_both,
        ),
    },
    "norm_linear": {
        "module": Module(_norm_linear, _projected, _norm_linear_arguments, _NORM, _both),
        "function": Module(
            "fla.modules.norm.layernorm.layer_norm_linear",
            lambda x: _functional(x, *_LINEAR) | _grouped(x),
            outputs=_both,
        ),
    },
    "norm_gate_linear": {
        "module": Module(
            lambda x: f"fla.modules.Fused{'RMS' if x['rms'] else 'Layer'}NormSwishGateLinear",
            lambda x: _projected(x) | {"g": x.get("g")},
            lambda x: without(x, "norm_bias")
            or {"hidden_size": x.D, "elementwise_affine": x.has("norm_weight"), "eps": x["eps"]},
            _NORM,
            _both,
        ),
        "function": Module(
            lambda x: f"fla.modules.norm.fused_norm_gate.{'rms' if x['rms'] else 'layer'}_norm_swish_gate_linear",
            lambda x: _functional(x, "g", *_LINEAR),
            outputs=_both,
        ),
    },
    "group_norm_gated": {
        "module": Module(
            lambda x: f"fla.modules.norm.{'RMS' if x['rms'] else 'Layer'}NormGated",
            lambda x: {"x": x.get("x"), "z": x.get("z")},
            lambda x: (without(x, "bias") if x["rms"] else None) or _mamba_norm(x),
        ),
    },
    "bit_linear": {
        "module": Module(
            "fla.modules.FusedBitLinear",
            _quantised,
            lambda x: {"in_features": x.D, "out_features": x.I, "bias": x.has("bias")},
            outputs=lambda o, x: {"o": o, "s": x.get("x")},
        ),
        "function": Module(
            "fla.modules.fused_bitlinear.layer_norm_linear_quant", _quantised_by_function, outputs=_both
        ),
        "unfused": Module(
            "fla.modules.BitLinear",
            lambda x: without(x, "bias") or _quantised(x),
            lambda x: {"in_features": x.D, "out_features": x.I},
            outputs=lambda o, x: {"o": o, "s": x.get("x")},
        ),
    },
}
