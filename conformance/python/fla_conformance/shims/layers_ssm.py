"""fla's layers of state spaces, RWKV, Rodimus, cyclic flow and mixed memories, and RWKV's feed-forward networks."""

import math
from dataclasses import dataclass

from fla_conformance.shims.layers import Layer, convolutions, convolved, unread, value_first


def _mamba(x):
    return {
        "hidden_size": x.D,
        "state_size": x.K,
        "conv_kernel": x.W,
        "use_conv_bias": x.has("conv1d.bias"),
        "intermediate_size": x.I,
        "dt_rank": x.E,
        "use_bias": x.has("*_proj.bias*"),
        "hidden_act": x["hidden_act"],
        "layer_idx": 0,
    }


def _channels(x):
    """A state [N, K, I], value-first there, and the last inputs of one convolution without heads."""
    return {"recurrent_state": value_first(x.get("h0")), "conv_state": x.get("conv0")}


def _channels_kept(state, x):
    return {"ht": value_first(state["recurrent_state"]), "convt": unread(state["conv_state"])}


def _mamba2(x):
    high = x["dt_limit_high"]
    return _grouped(x) | {
        "hidden_act": x["hidden_act"],
        "dt_limit": (x["dt_limit_low"], math.inf if high is None else high),
        "chunk_size": 32,
    }


def _grouped(x):
    return {
        "num_heads": x.HV,
        "head_dim": x.V,
        "hidden_size": x.D,
        "state_size": x.K,
        "expand": x.HV * x.V / x.D,
        "n_groups": x.H,
        "conv_kernel": x.W,
        "use_conv_bias": x.has("conv1d.bias*"),
        "rmsnorm": x["rmsnorm"],
        "D_has_hdim": x["D_has_hdim"],
        "norm_before_gate": x["norm_before_gate"],
        "use_bias": x.has("*_proj.bias*"),
        "norm_eps": x["norm_eps"],
        "layer_idx": 0,
    }


def _levelled(x):
    from fla.layers import log_linear_mamba2

    # as many levels as the longest sequence of the question has, not of the longest sequence that fla foresees
    log_linear_mamba2.MAX_NUM_LEVELS = x.L
    return _grouped(x)


_PARTS = ("x", "B", "C")


def _joined(x):
    import torch

    parts = [x.get(f"{name}_conv0") for name in _PARTS]
    given = all(p is not None for p in parts)
    conv = torch.cat([p.flatten(1, 2) for p in parts], 1) if given else None
    return {"recurrent_state": value_first(x.get("h0")), "conv_state": conv}


def _split(state, x):
    shapes = [(x.HV, x.V), (x.H, x.K), (x.H, x.K)]
    parts = unread(state["conv_state"]).split([h * w for h, w in shapes], 1)
    convs = {f"{name}_convt": p.unflatten(1, shape) for name, p, shape in zip(_PARTS, parts, shapes)}
    return {"ht": value_first(state["recurrent_state"])} | convs


def _rwkv6(x):
    return {
        "hidden_size": x.D,
        "expand_k": x.H * x.K / x.D,
        "expand_v": x.H * x.V / x.D,
        "num_heads": x.H,
        "gate_fn": x["gate_fn"],
        "proj_low_rank_dim": x.E,
        "gate_low_rank_dim": x.I,
        "elementwise_affine": x.has("g_norm.*"),
        "norm_eps": x["norm_eps"],
        "layer_idx": 0,
    }


def without_initialisation():
    """Of RWKV-7, which knows only as many channels of keys and values as there are hidden ones."""
    from fla.layers.rwkv7 import RWKV7Attention

    RWKV7Attention._is_hf_initialized = True


def _rwkv7(x):
    without_initialisation()
    return {
        "hidden_size": x.D,
        "head_dim": x.K,
        "decay_low_rank_dim": x.E,
        "gate_low_rank_dim": x.I,
        "a_low_rank_dim": x.R,
        "v_low_rank_dim": x.M,
        "elementwise_affine": True,
        "norm_eps": x["norm_eps"],
        "layer_idx": 0 if x["first_layer"] else 1,
        "num_hidden_layers": 4,
        "fuse_norm": x["fuse_norm"],
        "value_dim": x.H * x.V,
    }


def _shifted(x):
    return {"recurrent_state": x.get("h0"), "conv_state": x.get("x0")}


def _shifted_kept(state, x):
    h, last = state["recurrent_state"], state["conv_state"]
    # RWKV-6 keeps the last token of a packed row alone
    return {"ht": h, "xt": last if len(last) == len(h) else None}


def _first(result, x):
    return {"o": result[0], "v_first_out": result[3].unflatten(2, (x.H, x.V)) if x["first_layer"] else None}


def _rodimus(x):
    return {
        "hidden_size": x.D,
        "input_gate_low_rank": x.E,
        "expand_ratio": x.K,
        "use_short_conv": x["use_short_conv"],
        "conv_size": x.W,
        "conv_bias": x.has("short_conv.bias"),
        "norm_eps": x["norm_eps"],
        "k_norm_eps": x["k_norm_eps"],
        "layer_idx": 0,
    }


def _one_head(x):
    h = value_first(x.get("h0"))
    return {"recurrent_state": None if h is None else h.unsqueeze(1), "conv_state": x.get("conv0")}


def _one_head_kept(state, x):
    conv = state["conv_state"]
    kept = {"ht": value_first(state["recurrent_state"].squeeze(1))}
    return kept if conv is None else kept | {"convt": unread(conv)}


def _cyfa(x):
    return {
        "hidden_size": x.D,
        "expand_k": 1.0,
        "expand_v": x.V / x.K,
        "head_dim": x.K,
        "num_heads": x.H,
        "use_short_conv": x["use_short_conv"],
        "conv_size": x.W,
        "conv_bias": x.has("*_conv1d.bias"),
        "num_slots": x.C + 1,
        "norm_eps": x["norm_eps"],
        "layer_idx": 0,
    }


@dataclass(frozen=True)
class _Clocked(Layer):
    """Its clock reads an input of its own: the values that upstream takes from x without their gradient."""

    def build(self, x, form):
        module = super().build(x, form)
        module.d_proj.register_forward_pre_hook(lambda _module, _arguments: (x.get("x_clock"),))
        return module


def _slots(x):
    memories = tuple(x.get(name) for name in ("hk0", "hv0", "lambda0"))
    given = all(m is not None for m in memories)
    return {"recurrent_state": memories if given else None, "conv_state": convolutions(x, "q", "k", "v")}


def _slots_kept(state, x):
    memories = dict(zip(("hkt", "hvt", "lambdat"), state["recurrent_state"]))
    return memories | convolved(state["conv_state"], x, "q", "k", "v")


def _mom(x):
    return {
        "hidden_size": x.D,
        "head_dim": x.K,
        "num_heads": x.H,
        "expand_v": x.V / x.K,
        "use_output_gate": x["use_output_gate"],
        "conv_size": x.W,
        "conv_bias": x.has("*_conv1d.bias"),
        "norm_eps": x["norm_eps"],
        "num_memories": x.M,
        "topk": int(x["topk"]),
        "shared_mem": x["shared_mem"],
        "single_kv_proj": x["single_kv_proj"],
        "layer_idx": 0,
    }


@dataclass(frozen=True)
class _Evaluated(Layer):
    """In evaluation: what it does in training is another function."""

    def build(self, x, form):
        return super().build(x, form).eval()


def _memories(x):
    """fla keeps [M·N, ·] for the memories, memory by memory, and the shared one beside it: all of them or none."""
    names = ("h", "q_conv", "k_conv", "v_conv")
    if not any(x.has(f"{shared}{name}0") for name in names for shared in ("", "shared_")):
        return {"recurrent_state": None, "conv_state": None}

    def pair(name, turn):
        own, shared = (x.neutral(x.ports(n)) if x.get(n) is None else x.get(n) for n in (f"{name}0", f"shared_{name}0"))
        return [turn(own.transpose(0, 1).flatten(0, 1)), turn(shared) if x["shared_mem"] else None]

    flat = lambda c: c.flatten(1, 2)
    return {
        "recurrent_state": pair("h", value_first),
        "conv_state": tuple(pair(name, flat) for name in names[1:]),
    }


def _memories_kept(state, x):
    def pair(name, states, turn):
        own = turn(states[0]).unflatten(0, (x.M, -1)).transpose(0, 1)
        return {f"{name}t": own} | ({f"shared_{name}t": turn(states[1])} if x["shared_mem"] else {})

    kept = pair("h", state["recurrent_state"], value_first)
    for name, states, width in zip(("q", "k", "v"), state["conv_state"], (x.K, x.K, x.V)):
        kept |= pair(f"{name}_conv", states, lambda c, w=width: unread(c).unflatten(1, (x.H, w)))
    return kept


def _routed(result, x):
    batch, tokens = x.get("x").shape[:2]
    logits = result[3]
    return {"o": result[0], "router_logits": logits.view(batch, tokens, -1) if len(logits) == batch * tokens else None}


def _mamba3(x):
    return {
        "hidden_size": x.D,
        "state_size": x.K,
        "expand": x.HV * x.V / x.D,
        "head_dim": x.V,
        "n_groups": x.H,
        "rope_fraction": 2 * x.L / x.K,
        "A_floor": x["A_floor"],
        "is_outproj_norm": x["is_outproj_norm"],
        "is_mimo": x["is_mimo"],
        "mimo_rank": x.R,
        "use_bias": x.has("*_proj.bias*"),
        "norm_eps": x["norm_eps"],
        "layer_idx": 0,
    }


def _turning(x):
    import torch

    h, angle, k, v = (x.get(name) for name in ("h0", "angle0", "k0", "v0"))
    if any(s is None for s in (h, angle, k, v)):
        return {"recurrent_state": None}
    return {"recurrent_state": tuple(torch.clone(s) for s in (angle, value_first(h), k.transpose(1, 2), v))}


def _turning_kept(state, x):
    angle, h, k, v = state["recurrent_state"]
    return {"ht": value_first(h), "anglet": angle, "kt": k.transpose(1, 2), "vt": v}


def _rwkv6_ffn(x):
    return {
        "hidden_size": x.D,
        "intermediate_size": x.I,
        "hidden_act": x["hidden_act"],
        "layer_idx": 0,
    }


def _rwkv7_ffn(x):
    return _rwkv6_ffn(x) | {"num_hidden_layers": 4}


def _feed_forward(version, arguments):
    return Layer(
        f"fla.models.rwkv{version}.modeling_rwkv{version}",
        f"RWKV{version}FeedForward",
        arguments,
        forms=("layer",),
        load=lambda x: {"ffn_state": x.get("x0")},
        keep=lambda state, x: {"xt": state["ffn_state"]},
        cache="state",
    )


LAYERS = {
    "mamba_layer": Layer(
        "fla.layers.mamba", "Mamba", _mamba, forms=("layer",), load=_channels, keep=_channels_kept
    ),
    "mamba2_layer": Layer("fla.layers.mamba2", "Mamba2", _mamba2, forms=("layer",), load=_joined, keep=_split),
    "rwkv6_layer": Layer("fla.layers.rwkv6", "RWKV6Attention", _rwkv6, load=_shifted, keep=_shifted_kept),
    "rwkv7_layer": Layer(
        "fla.layers.rwkv7",
        "RWKV7Attention",
        _rwkv7,
        forms=("layer",),
        load=_shifted,
        keep=_shifted_kept,
        forward=lambda x: {"v_first": x.get("v_first").flatten(2) if x.has("v_first") else None},
        outputs=_first,
    ),
    "rodimus_layer": Layer(
        "fla.layers.rodimus", "RodimusAttention", _rodimus, load=_one_head, keep=_one_head_kept
    ),
    "log_linear_mamba2_layer": Layer(
        "fla.layers.log_linear_mamba2",
        "LogLinearMamba2",
        _levelled,
        forms=("layer",),
        load=lambda x: {},
        keep=lambda state, x: {},
    ),
    "cyfa_layer": _Clocked("fla.layers.cyfa", "CyclicFlowAttention", _cyfa, load=_slots, keep=_slots_kept),
    "mom_layer": _Evaluated(
        "fla.layers.mom", "MomAttention", _mom, load=_memories, keep=_memories_kept, outputs=_routed
    ),
    "mamba3_layer": Layer(
        "fla.layers.mamba3", "Mamba3", _mamba3, forms=("layer",), load=_turning, keep=_turning_kept
    ),
    "rwkv6_feed_forward": _feed_forward(6, _rwkv6_ffn),
    "rwkv7_feed_forward": _feed_forward(7, _rwkv7_ffn),
}
