"""What fla's configurations are by default, and which parameters the models have that they describe.

    PYTHONPATH=conformance/python python3 golden/generate/configs.py > golden/configs.json

Of each model, `fields` are the arguments of its configuration with their defaults, `saved` those that what it saves has
besides; then come small configurations with the state-dict keys and shapes of the model that fla builds from them:
`config` changes only sizes, and each of the `changes` is an option that adds, removes or resizes a parameter. `layers`
are the arguments of their constructors.
"""

import importlib
import inspect
import json
import pkgutil
import warnings

import fla.layers
import torch
from transformers import PretrainedConfig

from fla_conformance.shims.layers import LAYERS
from fla_conformance.shims.models import MODELS

SMALL = {"vocab_size": 11, "hidden_size": 24, "num_hidden_layers": 1, "num_heads": 2}
# of one model: sizes that must be small besides, or what must not be touched
SIZES = {
    "abc": {"num_slots": 5, "exapnd_k": 0.5},
    "cat": {"max_chunk_size": 4, "max_position_embeddings": 6, "compressor_hidden_size": 8, "compressor_num_heads": 2},
    "comba": {"head_dim": 6},
    "cyclic_flow_attention": {"head_dim": 6, "num_slots": 4},
    "gated_deltanet": {"head_dim": 6},
    "gated_deltaproduct": {"head_dim": 6},
    "gsa": {"num_slots": 5, "num_kv_heads": 1},
    "hgrn": {"num_heads": None},
    "hgrn2": {"expand_ratio": 12},
    "kda": {"head_dim": 6},
    "lightnet": {"expand_ratio": 12, "gate_low_rank_dim": 7},
    "log_linear_mamba2": {"num_heads": None, "head_dim": 6, "state_size": 5, "num_hidden_layers": 1},
    "mamba": {"num_heads": None, "state_size": 5},
    "mamba2": {"num_heads": None, "head_dim": 6, "state_size": 5},
    "mamba3": {"num_heads": None, "head_dim": 6, "state_size": 8},
    "mesa_net": {"head_dim": 6},
    "mla": {
        "q_lora_rank": 5,
        "qk_rope_head_dim": 4,
        "kv_lora_rank": 7,
        "v_head_dim": 6,
        "qk_nope_head_dim": 3,
        "qk_head_dim": 7,
    },
    "mom": {"head_dim": 6},
    "nsa": {"head_dim": 6, "num_heads": 16, "num_kv_heads": 1},
    "precond_gated_deltanet": {"head_dim": 6},
    "precond_kda": {"head_dim": 6},
    "raven": {"num_slots": 5, "topk": 2},
    "rodimus": {"num_heads": None, "expand_ratio": 3, "ska_attn": {"num_heads": 2}},
    "rwkv6": {"proj_low_rank_dim": 3, "gate_low_rank_dim": 5},
    "rwkv7": {
        "num_heads": None,
        "head_dim": 6,
        "num_hidden_layers": 2,
        "decay_low_rank_dim": 3,
        "gate_low_rank_dim": 5,
        "a_low_rank_dim": 7,
        "v_low_rank_dim": 2,
    },
    "yoco": {
        "num_heads": None,
        "num_hidden_layers": 3,
        "num_self_decoder_layers": 1,
        "self_decoder_attn": {"num_heads": 2, "head_dim": 6},
        "cross_decoder_attn": {"num_heads": 4, "num_kv_heads": 2},
    },
    "samba": {"num_heads": None, "state_size": 5, "num_hidden_layers": 2, "attn": {"layers": [1], "num_heads": 2}},
}
MORE = {
    "exapnd_k": (0.25,), "expand_k": (0.25,), "expand_v": (0.5,), "intermediate_size": (40,), "hidden_ratio": (48,),
    "num_v_heads": (4,), "num_kv_heads": (1,), "num_householder": (2,), "feature_map": ("relu", "t2r", "hedgehog"),
    "expand_ratio": (2,), "q_lora_rank": (None,), "lower_bound": (-5.0,), "attnres_block_size": (2,),
    "decay_type": ("GLA",), "router_type": ("mlp",), "mimo_rank": (3,), "rope_fraction": (1.0,), "n_groups": (2,),
    "dt_rank": (3,), "time_step_rank": (3,), "conv_size": (3,), "conv_kernel": (3,), "expand": (1,),
    "qk_norm": ("sum",),
    "attn": ({"layers": [1], "num_heads": 4, "num_kv_heads": 2, "qkv_bias": True},),
    "input_gate_low_rank": (5,), "block_type": ("rodimus",),
    "ska_attn": ({"num_heads": 4, "qkv_bias": True, "qk_norm": True},),
    "head_dim": (4,), "value_dim": (48,), "compressor_num_layers": (2,), "compressor_num_heads": (1,),
    "self_decoder_attn": (
        {"num_heads": 2, "head_dim": 6, "num_v_heads": 4, "expand_v": 1.5, "use_gate": False, "use_short_conv": False},
        {"type": "gated_retention", "num_heads": 4},
        {"type": "swa", "num_heads": 4, "num_v_heads": 2, "qkv_bias": True, "window_size": 3},
    ),
    "cross_decoder_attn": ({"num_heads": 2, "qkv_bias": True, "qk_norm": True},),
}  # fmt: skip
# what fla refuses, or what changes no parameter and needs a GPU
WITHOUT = (
    "output_attentions",
    "output_hidden_states",
    "fuse_linear_cross_entropy",
    "residual_in_fp32",
    "use_flash_moba",
    "use_l2warp",
    "tie_feature_map_qk",
)


def of(config):
    """Arguments with their defaults, the class's own before those of its bases."""
    fields = {}
    for cls in config.__mro__:
        if cls is PretrainedConfig or not issubclass(cls, PretrainedConfig):
            break
        for name, argument in inspect.signature(cls.__init__).parameters.items():
            if argument.default is not inspect.Parameter.empty:
                fields.setdefault(name, argument.default)
    return fields


def without_kernels():
    """Classes ask for libraries of kernels when they are built; of parameters these say nothing."""
    for path in fla.layers.__path__:
        for file in pkgutil.iter_modules([path]):
            module = importlib.import_module(f"fla.layers.{file.name}")
            for name in ("flash_attn_func", "flash_attn_varlen_func", "sb_attn", "moba_attn_varlen"):
                if getattr(module, name, module) is None:
                    setattr(module, name, print)
    # which knows only as many channels of values as there are hidden ones
    fla.layers.rwkv7.RWKV7Attention._is_hf_initialized = True


def shapes(model, config):
    with torch.device("meta"):
        found = {name: list(tensor.shape) for name, tensor in model(config).state_dict().items()}
    if config.tie_word_embeddings:
        # a file holds what is shared once
        del found["lm_head.weight"]
    return found


def stacks(fields, model, config, sizes):
    """Configurations and parameters of the models that they describe."""
    seen, plain = [], {k: v for k, v in (SMALL | sizes).items() if v is not None}
    options = [name for name, default in fields.items() if isinstance(default, bool) and name not in WITHOUT]
    flips = [{name: not fields[name]} for name in options]
    values = [{name: value} for name, several in MORE.items() if name in fields for value in several]
    for change in [{}, *flips, *values]:
        if change.get("is_mimo"):
            change["mimo_rank"] = 3
        if change.get("safe_gate"):
            change["lower_bound"] = -5.0
        if isinstance(change.get("attn"), dict):
            change["num_hidden_layers"] = 2
        try:
            found = shapes(model, config(**plain | change))
        except Exception:
            # an option that fla itself refuses
            if not change:
                raise
            continue
        if found not in [tensors for _, tensors in seen]:
            seen.append((change, found))
    first = seen[0][1]
    return [
        {
            "config": change,
            "without": [name for name in first if tensors.get(name) != first[name]],
            "with": {name: shape for name, shape in tensors.items() if first.get(name) != shape},
        }
        for change, tensors in seen[1:]
    ], first, plain


def json_of(value):
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return {"__float__": "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, dict):
        return {k: json_of(v) for k, v in value.items()}
    return [json_of(v) for v in value] if isinstance(value, (list, tuple)) else value


def main():
    warnings.filterwarnings("ignore")
    without_kernels()
    models = {}
    for name, shim in MODELS.items():
        if "@" in name:
            continue
        config, model = shim.load(f"{shim.stem}Config"), shim.load(shim.name)
        fields, kept = of(config), config().to_dict()
        saved = sorted(set(kept) - set(fields) - set(PretrainedConfig().to_dict()) - {"rope_parameters"})
        kind = config.model_type
        changes, tensors, plain = stacks(fields, model, config, SIZES.get(kind, {}))
        models[kind] = {"fields": fields, "saved": saved, "config": plain, "tensors": tensors, "changes": changes}
    lines = []
    for kind, model in models.items():
        changes = "".join(f"\n   {compact(change)}," for change in model.pop("changes"))
        rest = "".join(f'\n  "{key}": {compact(value)},' for key, value in model.items())
        lines.append(f' "{kind}": {{{rest}\n  "changes": [{changes[:-1]}\n  ]\n }}')
    base = compact(sorted(PretrainedConfig().to_dict()))
    print("{\n" + f' "transformers": {base},\n "layers": {compact(arguments())},\n' + ",\n".join(lines) + "\n}")


def arguments():
    """What the constructor of each layer takes."""
    found = {}
    for name, layer in LAYERS.items():
        if name.endswith("_layer"):
            function = getattr(importlib.import_module(layer.module), layer.name).__init__
            parameters = inspect.signature(function).parameters.values()
            found[name] = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD][1:]
    return found


def compact(value):
    return json.dumps(json_of(value), separators=(",", ":"))


if __name__ == "__main__":
    main()
