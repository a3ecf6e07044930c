"""flash-linear-attention 0.6.0's models whose blocks are not those of most: RWKV, Rodimus, YOCO, CAT."""

from dataclasses import dataclass

from fla_conformance.shim import Declined
from fla_conformance.shims.layers_ssm import without_initialisation
from fla_conformance.shims.models import Model, part


def _depth(x, prefix):
    return len({n.removeprefix(prefix).split(".")[0] for n in x.inputs if n.startswith(prefix)})


def _whole(number):
    return None if number is None else int(number)


@dataclass(frozen=True)
class Own(Model):
    """A model whose configuration and states are told by functions of the spec's name and the question."""

    # fields of the configuration
    configure: object = None
    # what keeps states in each layer of the cache
    stateful: object = lambda op, x: []
    further: object = lambda x: {}

    def configuration(self, op, x, form):
        """The configuration of a question."""
        fields = {
            "hidden_size": x.D,
            "vocab_size": x.S,
            "norm_eps": x["norm_eps"],
            "tie_word_embeddings": bool(x["tie_word_embeddings"]),
            "pad_token_id": None,
            # the loss of each token is asked for, and exact gradients
            "fuse_cross_entropy": False,
            "use_l2warp": False,
        }
        if "hidden_act" in x.attrs:
            fields |= {"intermediate_size": x.I, "hidden_act": x["hidden_act"]}
        fields |= self.configure(op, x, form)
        return self.load(f"{self.stem}Config")(**fields)

    def blocks(self, op, x):
        """What keeps states in the cache, by the number of its block: layers, questions, names of their states."""
        return dict(enumerate(self.stateful(op, x)))

    def arguments(self, x):
        """Further arguments of `forward`."""
        return self.further(x)


def _softmax(op, x):
    """The blocks of softmax attention, if any."""
    places = [int(i) for i in op.partition("@")[2].split("+") if i.isdigit()]
    if not places:
        return {}
    heads = {"num_heads": x.AQ, "num_kv_heads": x.AH, "window_size": _whole(x["attn.window_size"])}
    options = {"qkv_bias": bool(x["attn.qkv_bias"]), "rope_theta": float(x["attn.rope_theta"])}
    return {"attn": {"layers": places} | heads | options}


def _rwkv(op, x):
    flags = {name: bool(x[name]) for name in ("norm_first", "norm_bias")}
    return {"num_hidden_layers": _depth(x, "model.layers."), "num_heads": x.H} | flags | _softmax(op, x)


def _rwkv6(op, x, form):
    widths = {"attn_mode": form}
    widths |= {"expand_k": x.H * x.K / x.D, "expand_v": x.H * x.V / x.D}
    return _rwkv(op, x) | widths | {"proj_low_rank_dim": x.E, "gate_low_rank_dim": x.G}


def _rwkv7(op, x, form):
    without_initialisation()
    ranks = {"decay_low_rank_dim": x.E, "gate_low_rank_dim": x.G, "a_low_rank_dim": x.R, "v_low_rank_dim": x.M}
    return _rwkv(op, x) | ranks | {"head_dim": x.K, "value_dim": x.H * x.V, "fuse_norm": bool(x["fuse_norm"])}


def _mixing(version):
    def stateful(op, x):
        blocks = []
        for i in range(_depth(x, "model.layers.")):
            at, fixed = f"model.layers.{i}.", {"first_layer": i == 0} if version == 7 else {}
            time = part(f"rwkv{version}_layer", x, f"{at}attn.", f"layers.{i}.", fixed=fixed)
            channel = part(f"rwkv{version}_feed_forward", x, f"{at}ffn.", f"layers.{i}.ffn.")
            softmax = x.has(f"{at}attn.q_proj.weight")
            blocks.append([channel] if softmax else [time, channel])
        return blocks

    return stateful


def _rodimus(op, x, form):
    fields = {
        "attn_mode": form,
        "block_type": "rodimus" if op.endswith("@rodimus") else "rodimus_plus",
        "num_hidden_layers": _depth(x, "model.layers."),
        "expand_ratio": x.M,
        "input_gate_low_rank": x.E,
        "use_short_conv": bool(x["use_short_conv"]),
        "conv_size": x.W,
        "k_norm_eps": x["k_norm_eps"],
        # together, or nothing works
        "residual_in_fp32": False,
        "block_residual_in_fp32": False,
    }
    if fields["block_type"] == "rodimus_plus":
        options = {name: x[f"ska_attn.{name}"] for name in ("qkv_bias", "qk_norm", "rope_theta")}
        fields["ska_attn"] = options | {"num_heads": x.HQ, "window_size": int(x["ska_attn.window_size"])}
    return fields | _softmax(op, x)


def _mixers(op, x):
    places = [f"model.layers.{i}.mixer." for i in range(_depth(x, "model.layers."))]
    own = [any(n.startswith(at) for n in x.inputs) for at in places]
    parts = [part("rodimus_layer", x, at, f"layers.{i}.") for i, at in enumerate(places)]
    return [[mixer] if is_one else [] for mixer, is_one in zip(parts, own)]


# the layer by what follows `yoco_model@`, and what its arguments are called in the configuration
_SELF = {
    "": ("gated_deltanet_layer", "gated_deltanet"),
    "gated_retention": ("yoco_gated_retention_layer", "gated_retention"),
    "swa": ("attn_layer", "swa"),
}
_SELF_FIELDS = (
    ("use_gate", "expand_v", "use_short_conv", "allow_neg_eigval", "conv_size", "head_dim", "num_heads", "num_v_heads")
    + ("window_size", "qkv_bias", "rope_theta", "rope_inv_freq", "gate_logit_normalizer")
)


def _self_decoder(op, x):
    name, kind = _SELF[op.partition("@")[2]]
    places = range(_depth(x, "model.self_layers."))
    return [part(name, x, f"model.self_layers.{i}.attn.", f"layers.{i}.") for i in places], kind


def _yoco(op, x, form):
    (layers, kind), cross = _self_decoder(op, x), _depth(x, "model.cross_layers.")
    layer, question, _ = layers[0]
    arguments = layer.arguments(question)
    own = {"type": kind} | {n: arguments[n] for n in _SELF_FIELDS if n in arguments}
    if kind != "swa":
        own["mode"] = form
    if kind == "swa":
        if arguments["window_size"] is None:
            raise Declined("swa asks for a window_size")
        own["num_v_heads"] = arguments["num_kv_heads"]
    names = ("qkv_bias", "qk_norm", "rope_theta", "rope_inv_freq")
    options = {name: x[f"cross_decoder_attn.{name}"] for name in names}
    return {
        "num_self_decoder_layers": len(layers),
        "num_hidden_layers": len(layers) + cross,
        "self_decoder_attn": own,
        "cross_decoder_attn": options | {"num_heads": x.AQ, "num_kv_heads": x.AH},
        "attnres_block_size": int(x["attnres_block_size"]) if x["attnres"] else None,
    }


def _retained(op, x):
    layers, kind = _self_decoder(op, x)
    return [] if kind == "swa" else [[layer] for layer in layers]


def _cat(op, x, form):
    if x.I != x.M:
        raise Declined("one intermediate_size is that of the compressor and of the decoder")
    return {
        "num_hidden_layers": _depth(x, "model.layers."),
        "num_heads": x.HQ,
        "num_kv_heads": x.H,
        "max_chunk_size": x.C,
        "compressor_hidden_size": x.E,
        "compressor_num_layers": _depth(x, "model.compressor.layers."),
        "compressor_num_heads": x.AQ,
        "qkv_bias": bool(x["qkv_bias"]),
        "qk_norm": bool(x["qk_norm"]),
        "rope_theta": float(x["rope_theta"]),
        "max_position_embeddings": x.G,
        "train_chunk_size_schedule": None,
        "min_train_chunk_size": 1,
    }


_RWKV6 = Own(
    "rwkv6", "RWKV6", "rwkv6_layer", configure=_rwkv6, stateful=_mixing(6)
)
_RODIMUS = Own(
    "rodimus", "Rodimus", "rodimus_layer", configure=_rodimus, stateful=_mixers
)


def _decoder(layer):
    return Own("yoco", "YOCO", layer, configure=_yoco, stateful=_retained)


MODELS = {
    # its attention is PyTorch's
    "cat_model": Own(
        "cat", "CAT", "attn_layer",
        configure=_cat, further=lambda x: {"chunk_size": x.C if x["chunk_size"] is None else int(x["chunk_size"])},
    ),
    "rodimus_model": _RODIMUS,
    "rodimus_model@rodimus": _RODIMUS,
    "rodimus_model@1": _RODIMUS,
    "rwkv6_model": _RWKV6,
    "rwkv6_model@1": _RWKV6,
    "rwkv7_model": Own(
        "rwkv7", "RWKV7", "rwkv7_layer", configure=_rwkv7, stateful=_mixing(7)
    ),
    "yoco_model": _decoder("gated_deltanet_layer"),
    "yoco_model@gated_retention": _decoder("yoco_gated_retention_layer"),
    "yoco_model@swa": _decoder("attn_layer"),
}  # fmt: skip
