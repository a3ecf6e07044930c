"""fla's layers of softmax attention and its relatives."""

from fla_conformance.shim import Declined
from fla_conformance.shims.layers import Layer


def _whole(number):
    return None if number is None else int(number)


def _heads(x):
    return {"hidden_size": x.D, "num_heads": x.HQ, "num_kv_heads": x.H, "layer_idx": 0}


def _plain(x, *options):
    return _heads(x) | {name: x[name] for name in ("qkv_bias", *options)}


def _windowed(x, *options):
    return _plain(x, *options) | {"window_size": _whole(x["window_size"])}


def _in_16_bits(x, arguments):
    if x.get("x").is_cuda and x.get("x").element_size() != 2:
        raise Declined("the kernel takes 16-bit inputs")
    return arguments


def _latent(x):
    return {
        "hidden_size": x.D,
        "num_heads": x.H,
        "q_lora_rank": x.E if x["q_lora"] else None,
        "qk_rope_head_dim": x.R,
        "kv_lora_rank": x.I,
        "v_head_dim": x.V,
        "qk_nope_head_dim": x.K - x.R,
        "qk_head_dim": x.K,
        "window_size": _whole(x["window_size"]),
        "rope_theta": x["rope_theta"],
        "layer_idx": 0,
    }


def _path(x):
    if x["use_low_rank_w"] and x.E != RANK:
        raise Declined(f"the bottleneck has rank {RANK}")
    options = ("use_forget_gate", "use_qk_norm", "use_low_rank_w", "use_w_shortconv")
    return _heads(x) | {name: x[name] for name in options} | {"conv_size": x.W, "conv_bias": x.has("w_conv1d.bias")}


# of PaTH's bottleneck, which no argument of the constructor changes
RANK = 32


def _sparse(x):
    counts = {name: int(x[name]) for name in ("block_size", "block_counts", "window_size")}
    return _plain(x, "rope_theta") | {"head_dim": x.K} | counts


def _chosen(x):
    counts = {name: int(x[name]) for name in ("moba_chunk_size", "moba_topk")}
    return _plain(x, "qk_norm", "use_output_gate", "rope_theta") | counts


def _shared_keys(x):
    arguments = {name: x[name] for name in ("qkv_bias", "norm_eps", "rope_theta", "rope_inv_freq")}
    # the query heads only say how wide a head is
    if x.D % x.K:
        raise Declined("heads are a whole fraction of the model's width")
    return arguments | {"hidden_size": x.D, "num_heads": x.D // x.K, "num_kv_heads": x.H, "layer_idx": 0}


def _one_key(x):
    options = {name: x[name] for name in ("qkv_bias", "qk_norm", "rope_theta")}
    return options | {"hidden_size": x.D, "num_heads": x.HQ, "window_size": int(x["window_size"]), "layer_idx": 0}


def _layer(module, name, arguments, **rest):
    return Layer(f"fla.layers.{module}", name, arguments, forms=("layer",), load=lambda x: {}, **rest)


LAYERS = {
    "attn_layer": _layer("attn", "Attention", lambda x: _windowed(x, "qk_norm", "rope_theta")),
    "bitattn_layer": _layer(
        "bitattn",
        "BitAttention",
        lambda x: _heads(x) | {"window_size": _whole(x["window_size"]), "rope_theta": x["rope_theta"]},
    ),
    "deltaformer_layer": _layer("deltaformer", "DeltaFormerAttention", lambda x: _plain(x, "qk_norm", "rope_theta")),
    "forgetting_attn_layer": _layer(
        "forgetting_attn", "ForgettingAttention", lambda x: _windowed(x, "qk_norm", "use_output_gate")
    ),
    "mla_layer": _layer("mla", "MultiheadLatentAttention", _latent, forward=lambda x: {"attention_mask": None}),
    "moba_layer": _layer("moba", "MoBA", _chosen),
    "nsa_layer": _layer("nsa", "NativeSparseAttention", _sparse),
    "parallax_layer": _layer(
        "parallax", "Parallax", lambda x: _in_16_bits(x, _windowed(x, "qk_norm", "rope_theta"))
    ),
    "path_attn_layer": _layer("path_attn", "PaTHAttention", _path),
    "rodimus_ska_layer": _layer("rodimus", "SlidingWindowSharedKeyAttention", _one_key),
    "stickbreaking_attn_layer": _layer(
        "stickbreaking_attn",
        "StickBreakingAttention",
        lambda x: _in_16_bits(x, _plain(x, "qk_norm", "norm_eps", "attend_current")),
    ),
    "wall_attn_layer": _layer(
        "wall_attn", "WallAttention", lambda x: _windowed(x, "qk_norm", "use_scalar_gate", "use_output_gate")
    ),
    "yoco_cross_attention_layer": _layer(
        "yoco",
        "YOCOCrossAttention",
        lambda x: _windowed(x, "qk_norm", "rope_theta", "rope_inv_freq"),
        forward=lambda x: {name: x.get(name) for name in ("shared_k", "shared_v")},
    ),
    "yoco_shared_kv_layer": _layer(
        "yoco", "YOCOSharedKVBuilder", _shared_keys, outputs=lambda result, x: {"o": result[0], "v": result[1]}
    ),
}
