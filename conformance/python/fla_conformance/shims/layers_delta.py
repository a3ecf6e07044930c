"""fla's layers of the delta rule and its relatives."""

from fla_conformance.shims.layers import Layer, convolutions, convolved


def _convolution(x):
    return {"use_short_conv": x["use_short_conv"], "conv_size": x.W, "conv_bias": x.has("*_conv1d.bias")}


def _heads(x, *options):
    # a hair more, because the width is a product cut off to an integer
    expand = {"expand_v": x.V / x.K * (1 + 1e-9)}
    # none: as many as key heads, the only number that some configurations have
    values = {"num_v_heads": None if x.HV == x.H else x.HV}
    heads = values | {"hidden_size": x.D, "head_dim": x.K, "num_heads": x.H, "layer_idx": 0}
    return heads | expand | _convolution(x) | {name: x[name] for name in ("norm_eps", *options)}


def _delta_net(x):
    options = ("use_beta", "use_gate", "allow_neg_eigval", "qk_activation", "qk_norm", "norm_eps")
    sizes = {"hidden_size": x.D, "num_heads": x.H, "expand_k": x.H * x.K / x.D, "expand_v": x.H * x.V / x.D}
    return sizes | {"layer_idx": 0} | _convolution(x) | {name: x[name] for name in options}


def _momentum(x):
    options = (
        "use_beta", "use_gate", "allow_neg_eigval", "qk_activation", "qk_norm", "use_p_times_alpha",
        "use_output_correction", "min_log_mu", "tau_factor",
    )  # fmt: skip
    return _heads(x, *options)


def _mesa(x):
    sizes = {"hidden_size": x.D, "num_heads": x.H, "head_dim": x.K, "layer_idx": 0}
    options = {name: x[name] for name in ("use_output_gate", "norm_eps", "lambda_lower_bound")}
    return sizes | options | {"conv_size": x.W, "conv_bias": x.has("*_conv1d.bias")}


def _key_first(x):
    return {"recurrent_state": x.get("h0"), "conv_state": convolutions(x, "q", "k", "v")}


def _kept(state, x):
    return {"ht": state["recurrent_state"]} | convolved(state["conv_state"], x, "q", "k", "v")


def _preconditioned(x):
    states = (x.get("h0"), x.get("a0"))
    return _key_first(x) | {"recurrent_state": states if x.has("h0") or x.has("a0") else None}


def _kept_preconditioned(state, x):
    h, a = state["recurrent_state"]
    return {"ht": h, "at": a} | convolved(state["conv_state"], x, "q", "k", "v")


def _pair(x, first, second):
    """Both states, zeros for one that is missing; None when both are."""
    import torch

    a, b = x.get(first), x.get(second)
    if a is None and b is None:
        return None
    return torch.zeros_like(b) if a is None else a, torch.zeros_like(a) if b is None else b


def _heavy_ball(x):
    import torch

    pair = _pair(x, "h0", "m0")
    return _key_first(x) | {"recurrent_state": None if pair is None else torch.stack(pair)}


def _kept_heavy_ball(state, x):
    h, m = state["recurrent_state"]
    return {"ht": h, "mt": m} | convolved(state["conv_state"], x, "q", "k", "v")


def _regression(x):
    pair, convs = _pair(x, "h_kk0", "h0"), convolutions(x, "q", "k")
    given = pair is not None or convs is not None
    states = {"recurrent_state": pair, "conv_state": convs}
    return {name: (state or (None, None)) if given else None for name, state in states.items()}


def _kept_regression(state, x):
    h_kk, h = state["recurrent_state"]
    return {"h_kkt": h_kk, "ht": h} | convolved(state["conv_state"], x, "q", "k")


def _preconditioner(x, *options):
    return _heads(x, "allow_neg_eigval", "squash_x", "squash_eps", *options)


_KEY_FIRST = {"load": _key_first, "keep": _kept}
_PRECONDITIONED = {"load": _preconditioned, "keep": _kept_preconditioned}

LAYERS = {
    "comba_layer": Layer(
        "fla.layers.comba",
        "Comba",
        lambda x: _heads(x, "use_output_gate", "use_output_correction", "use_inner_decay"),
        **_KEY_FIRST,
    ),
    "delta_net_layer": Layer("fla.layers.delta_net", "DeltaNet", _delta_net, **_KEY_FIRST),
    "gated_deltanet_layer": Layer(
        "fla.layers.gated_deltanet",
        "GatedDeltaNet",
        lambda x: _heads(x, "use_gate", "allow_neg_eigval", "output_gate_activation"),
    ),
    "gated_deltaproduct_layer": Layer(
        "fla.layers.gated_deltaproduct",
        "GatedDeltaProduct",
        lambda x: _heads(x, "use_output_gate", "use_forget_gate", "allow_neg_eigval") | {"num_householder": x.R},
        **_KEY_FIRST,
    ),
    "gdn2_layer": Layer("fla.layers.gdn2", "GatedDeltaNet2", lambda x: _heads(x, "allow_neg_eigval"), **_KEY_FIRST),
    "kda_layer": Layer(
        "fla.layers.kda", "KimiDeltaAttention", lambda x: _heads(x, "allow_neg_eigval", "lower_bound")
    ),
    "mesa_net_layer": Layer(
        "fla.layers.mesa_net", "MesaNet", _mesa, forms=("chunk",), load=_regression, keep=_kept_regression
    ),
    "momentum_deltanet_layer": Layer(
        "fla.layers.momentum_deltanet", "MomentumDeltaNet", _momentum, load=_heavy_ball, keep=_kept_heavy_ball
    ),
    "precond_gated_deltanet_layer": Layer(
        "fla.layers.precond_gated_deltanet",
        "PrecondGatedDeltaNet",
        lambda x: _preconditioner(x, "use_gate"),
        forms=("chunk", "fused_recurrent", "naive"),
        **_PRECONDITIONED,
    ),
    "precond_kda_layer": Layer(
        "fla.layers.precond_kda", "PrecondKDA", lambda x: _preconditioner(x, "lower_bound"), **_PRECONDITIONED
    ),
}
