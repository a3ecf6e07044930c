"""fla's layers of linear attention without a delta rule: constant, chosen and bounded decays, feature maps, slots."""

import functools

from fla_conformance.shim import Declined
from fla_conformance.shims.layers import Layer, convolutions, convolved, unread, value_first

# the base of the wavelengths where no option says it
BASE = 10000.0


def _streams(x, *options):
    """What the layers share that have query, key and value streams of their own widths."""
    return {
        "hidden_size": x.D,
        "num_heads": x.HQ,
        "num_kv_heads": x.H,
        "expand_k": x.HQ * x.K / x.D,
        "expand_v": x.HQ * x.V / x.D,
        "layer_idx": 0,
    } | {name: x[name] for name in options}


def _convolution(x):
    taps = {"conv_size": x.W, "conv_bias": x.has("*_conv1d.bias")} if x["use_short_conv"] else {}
    return {"use_short_conv": x["use_short_conv"]} | taps


def _map(x):
    return {"feature_map": None if x["feature_map"] == "none" else x["feature_map"]}


def _affine(x, *names):
    return {"elementwise_affine": any(x.has(name) for name in names)}


def _gated(x, *options):
    norm = _affine(x, "g_norm_swish_gate.weight", "g_norm.weight")
    return _streams(x, "gate_fn", "norm_eps", *options) | _convolution(x) | _map(x) | norm


def _norm_name(x):
    return {} if x["gate_fn"] == "swish" else {"g_norm_swish_gate.weight": "g_norm.weight"}


def seen_from_the_end(h, x, base=BASE, interleaved=False, to_base=False):
    """A state of turning keys [N, H, K, V] as seen from the token after the last, where fla sees it from position 0."""
    import torch

    tokens = torch.tensor([x.T] * x.B) if x.cu_seqlens is None else x.cu_seqlens.diff()
    half = h.shape[2] // 2
    steps = max(half - 1, 1) if to_base else half
    frequencies = base ** (-torch.arange(half, dtype=torch.float64) / steps)
    angle = (tokens.to(frequencies)[:, None] * frequencies)[:, None, :, None].to(h.device)
    sin, cos = angle.sin().to(h), angle.cos().to(h)
    if interleaved:
        a, b = h[:, :, ::2], h[:, :, 1::2]
        return torch.stack([a * cos + b * sin, b * cos - a * sin], 3).flatten(2, 3)
    a, b = h.split(half, 2)
    return torch.cat([a * cos + b * sin, b * cos - a * sin], 2)


def _retention_kept(state, x):
    ht = seen_from_the_end(state["recurrent_state"], x)
    return {"ht": ht} | convolved(state["conv_state"], x, "q", "k", "v")


def _hgrn(x):
    return {
        "hidden_size": x.D,
        # the class rounds down what it multiplies
        "expand_ratio": (x.I + 0.5) / x.D if x.I % x.D else x.I // x.D,
        "norm_eps": x["norm_eps"],
        "layer_idx": int(x.has("lower_bound")),
    } | _convolution(x) | _affine(x, "g_norm.weight")


def _hgrn_states(x):
    convs = [x.get(f"{name}_conv0") for name in "if"]
    return {"recurrent_state": x.get("h0"), "conv_state": None if convs == [None, None] else tuple(convs)}


def _hgrn_kept(state, x):
    convs = zip("if", state["conv_state"] or ())
    return {"ht": state["recurrent_state"]} | {f"{name}_convt": unread(c) for name, c in convs if c is not None}


def _bound(x):
    bound = x.get("lower_bound")
    return {} if bound is None else {"lower_bound": bound.flatten()}


def _hgrn2(x):
    if x.D // x.K == x.H and x.V == x.D // x.H:
        heads = {"expand_ratio": x.K}
    elif x.K == x.V:
        heads = {"expand_ratio": None, "num_heads": x.H}
    else:
        raise Declined("expand_ratio says how many heads there are")
    return heads | {"hidden_size": x.D, "layer_idx": int(x.has("lower_bound"))} | _convolution(x)


def _states(*names):
    """Value-first recurrent states and those of the convolutions of these names."""

    def load(x):
        return {"recurrent_state": value_first(x.get("h0")), "conv_state": convolutions(x, *names)}

    def keep(state, x):
        return {"ht": value_first(state["recurrent_state"])} | convolved(state["conv_state"], x, *names)

    return {"load": load, "keep": keep}


def _lightnet(x):
    return {
        "hidden_size": x.D,
        "num_heads": x.H,
        "expand_ratio": x.K,
        "gate_low_rank_dim": x.E,
        "layer_idx": 0,
    } | _convolution(x)


def _lightnet_states(x):
    z0 = x.get("z0")
    return {
        "recurrent_state": value_first(x.get("h0")),
        "ffn_state": None if z0 is None else z0.unsqueeze(1),
        "conv_state": convolutions(x, "q", "k", "v"),
    }


def _lightnet_kept(state, x):
    states = {"ht": value_first(state["recurrent_state"]), "zt": state["ffn_state"].squeeze(1)}
    return states | convolved(state["conv_state"], x, "q", "k", "v")


def _linear(x):
    words = {(False, "identity"), (False, "elu"), (False, "relu"), (False, "dpfp")}
    if x["elementwise_product"]:
        word = "elementwise_product"
    elif x["layer"] and x["feature_map"] == "hedgehog":
        word = "hedgehog"
    elif x["layer"] and x["feature_map"] == "relu" and not x.has("feature_map_?.layer.bias"):
        word = "t2r"
    elif (x["layer"], x["feature_map"]) in words:
        word = x["feature_map"]
    else:
        raise Declined("no feature map of fla's is composed so")
    return _streams(x, "norm_q", "norm_k", "do_feature_map_norm", "norm_eps") | {
        "feature_map": word,
        "output_norm": "rmsnorm" if x["output_norm"] else "identity",
    } | _affine(x, "norm.weight")


def _linear_states(x):
    import torch

    h, z = x.get("h0"), x.get("z0")
    if not x["do_feature_map_norm"] or h is None and z is None:
        return {"recurrent_state": h}
    n = x.get("x").shape[0] if x.cu_seqlens is None else len(x.cu_seqlens) - 1
    of = x.get("x")
    h = of.new_zeros(n, x.HQ, x.C, x.V, dtype=torch.promote_types(of.dtype, torch.float32)) if h is None else h
    # the layer's own sum has the type of its keys, and another one would change the type of its outputs
    z = of.new_zeros(n, x.HQ, x.C) if z is None else z.to(of.dtype)
    return {"recurrent_state": (h, z.unsqueeze(1))}


def _linear_kept(state, x):
    kept = state["recurrent_state"]
    return {"ht": kept[0], "zt": kept[1].squeeze(1)} if x["do_feature_map_norm"] else {"ht": kept}


def _unpacked(x):
    if x.cu_seqlens is not None:
        raise Declined("the layer has no packed sequences")
    return {}


def _without_reentry():
    """What fla computes again in the backward pass, in the way that gradients by given inputs allow."""
    import torch.utils.checkpoint as module

    if not isinstance(module.checkpoint, functools.partial):
        module.checkpoint = functools.partial(module.checkpoint, use_reentrant=False)


def _series(x):
    _without_reentry()
    if not x["causal"] and x.cu_seqlens is not None:
        raise Declined("the layer has no packed sequences")
    heads = {"num_heads": x.H, "num_key_value_heads": x.H, "feature_dim": x.K}
    return heads | {"hidden_size": x.D, "eps": x["eps"], "causal": x["causal"]}


def _squares(x):
    _without_reentry()
    heads = {"num_heads": x.H, "num_key_value_heads": x.H, "feature_dim": x.K, "layer_idx": 0}
    # an absent weight of the norm is one, an absent bias zero; without the norm fla has no bias alone
    maps = {"use_gamma": x.has("feature_map.gamma"), "use_beta": x.has("feature_map.beta")}
    if not x["normalize"] and not maps["use_gamma"]:
        raise Declined("without the norm there must be gamma")
    return heads | maps | {"hidden_size": x.D, "eps": x["eps"], "normalize": x["normalize"]}


def _slots(x, *names):
    """The pair of states hk and hv, and those of the convolutions of these names."""
    hk, hv = x.get("hk0"), x.get("hv0")
    if hk is None and hv is None:
        pair = None
    else:
        hk = hv.new_zeros(hv.shape[0], x.HQ, x.K, x.M) if hk is None else hk
        hv = hk.new_zeros(hk.shape[0], x.HQ, x.M, x.V) if hv is None else hv
        pair = (hk, hv)
    return {"recurrent_state": pair} | ({"conv_state": convolutions(x, *names)} if names else {})


def _slots_kept(state, x):
    hk, hv = state["recurrent_state"]
    return {"hkt": hk, "hvt": hv} | convolved(state["conv_state"], x, "q", "k", "v")


def _gsa(x):
    arguments = _streams(x, "gate_logit_normalizer", "scale") | _convolution(x)
    return arguments | {"num_slots": x.M, "feature_map": "t2r" if x["t2r"] else x["feature_map"]}


def _abc(x):
    if any(x.has(name) for name in ("hk0", "hv0", "z0")):
        raise Declined("the states of the layer lack z")
    options = ("use_rope", "use_input_gate", "use_output_gate", "use_norm", "clamp_min", "clamp_max", "norm_eps")
    return {
        "hidden_size": x.D,
        "num_heads": x.H,
        "expand_k": x.H * x.K / x.D,
        "expand_v": x.H * x.V / x.D,
        "num_slots": x.M,
        "layer_idx": 0,
    } | {name: x[name] for name in options} | _convolution(x) | _affine(x, "g_norm.weight")


def _abc_kept(state, x):
    hk, hv = state["recurrent_state"]
    hk = seen_from_the_end(hk, x) if x["use_rope"] else hk
    return {"hkt": hk, "hvt": hv} | convolved(state["conv_state"], x, "q", "k", "v")


def _yoco(x):
    options = ("rope_theta", "rope_inv_freq", "gate_logit_normalizer", "norm_eps")
    return {"hidden_size": x.D, "num_heads": x.H, "layer_idx": 0} | {name: x[name] for name in options}


def _yoco_kept(state, x):
    h = value_first(state["recurrent_state"])
    return {"ht": seen_from_the_end(h, x, x["rope_theta"], True, x["rope_inv_freq"] == "yoco")}


def _raven(x):
    options = ("gate_logit_normalizer", "router_score", "bias_rmm", "use_rope", "rope_theta", "gate_fn")
    return _streams(x, *options, "use_output_gate", "scale", "norm_eps") | _affine(x, "?_norm.weight") | {
        "num_slots": x.M,
        "topk": min(x.M, 32) if x["topk"] is None else int(x["topk"]),
        "feature_map": "t2r" if x["t2r"] else x["feature_map"],
        "decay_type": "GLA" if x["gla_decay"] else "Mamba2",
        "router_type": "mlp" if x["mlp_router"] else "lin",
        "add_gumbel_noise": False,
    }


def _raven_kept(state, x):
    hk, hv = state["recurrent_state"]
    return {"hkt": seen_from_the_end(hk, x, x["rope_theta"]) if x["use_rope"] else hk, "hvt": hv}


def _layer(module, name, arguments, **rest):
    return Layer(f"fla.layers.{module}", name, arguments, **rest)


_WITHOUT_STATES = {"forms": ("parallel", "chunk", "fused_chunk"), "load": lambda x: {}, "forward": _unpacked}

LAYERS = {
    "abc_layer": _layer(
        "abc",
        "ABCAttention",
        _abc,
        forms=("layer",),
        load=lambda x: {"conv_state": convolutions(x, "q", "k", "v")},
        keep=_abc_kept,
    ),
    "based_layer": _layer("based", "BasedLinearAttention", _series, **_WITHOUT_STATES),
    "gsa_layer": _layer(
        "gsa", "GatedSlotAttention", _gsa, load=lambda x: _slots(x, "q", "k", "v"), keep=_slots_kept
    ),
    "hgrn_layer": _layer(
        "hgrn", "HGRNAttention", _hgrn, names={"lower_bound": None}, load=_hgrn_states, keep=_hgrn_kept, forward=_bound
    ),
    "hgrn2_layer": _layer(
        "hgrn2", "HGRN2Attention", _hgrn2, names={"lower_bound": None}, forward=_bound, **_states("q", "f", "i")
    ),
    "lightnet_layer": _layer("lightnet", "LightNetAttention", _lightnet, load=_lightnet_states, keep=_lightnet_kept),
    "linear_attn_layer": _layer("linear_attn", "LinearAttention", _linear, load=_linear_states, keep=_linear_kept),
    "multiscale_retention_layer": _layer(
        "multiscale_retention",
        "MultiScaleRetention",
        lambda x: _gated(x, "use_output_gate"),
        names=_norm_name,
        load=lambda x: {"recurrent_state": x.get("h0"), "conv_state": convolutions(x, "q", "k", "v")},
        keep=_retention_kept,
    ),
    "raven_layer": _layer("raven", "Raven", _raven, load=_slots, keep=_raven_kept),
    "rebased_layer": _layer("rebased", "ReBasedLinearAttention", _squares, **_WITHOUT_STATES),
    "simple_gla_layer": _layer(
        "simple_gla", "SimpleGatedLinearAttention", lambda x: _gated(x, "gate_logit_normalizer"), names=_norm_name
    ),
    "yoco_gated_retention_layer": _layer(
        "yoco",
        "YOCOGatedRetention",
        _yoco,
        load=lambda x: {"recurrent_state": value_first(x.get("h0"))},
        keep=_yoco_kept,
    ),
}
