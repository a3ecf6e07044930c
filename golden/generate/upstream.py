"""Lists what fla offers in public, as the installed package exports it, one name a line.

    python3 golden/generate/upstream.py > golden/upstream.txt

Ops: what a package `fla.ops.<family>` names in `__all__`, and what is a function.

Modules: what a package or file below `fla.modules` names in `__all__`, or, where it has none, what it defines without
an underscore in front: classes and functions. Left out by rule are the halves of an automatic derivative (`_fwd`,
`_bwd`, `_fwdbwd`, `_forward`, `_backward`, and subclasses of `torch.autograd.Function` that `fla.modules` itself does
not export), kernels (`_kernel`), and plans of tensor parallelism (subclasses of `ParallelStyle`), which say where a
tensor lies and not what it is. Losses are the modules of the packages in `LOSSES`.

Layers and models: what `fla.layers` and `fla.models` name in `__all__`, of models without their configurations.

A second name for the same thing is left out, the shortest path kept, and so are the packages of back ends (Ascend,
Gluon, CUDA), which stand in for the functions of the others. `upstream_without.txt` says of which there is no spec, and
why. `LISTED` says which of these lists are written.
"""

import importlib
import importlib.metadata
import inspect
import pkgutil

# what packages do not export but layers of fla call, or what says in plain PyTorch what such a function computes
INTERNAL = (
    "fla.ops.common.gate.fused_beta_sigmoid",
    "fla.ops.gated_delta_rule.gate.fused_gdn_gate",
    "fla.ops.gated_delta_rule.gate.naive_gdn_gate",
    "fla.ops.kda.gate.fused_kda_gate",
    "fla.ops.kda.gate.naive_kda_gate",
    "fla.ops.kda.gate.naive_kda_lowerbound_gate",
    "fla.ops.rwkv7.channel_mixing.channel_mixing_rwkv7",
    "fla.ops.rwkv7.channel_mixing.channel_mixing_rwkv7_torch",
    "fla.ops.rwkv7.fused_addcmul.fused_addcmul_rwkv7",
    "fla.ops.rwkv7.fused_addcmul.torch_addcmul_rwkv7",
    "fla.ops.rwkv7.fused_k_update.fused_k_rwkv7",
    "fla.ops.rwkv7.fused_k_update.k_update_ref",
    "fla.ops.rwkv7.gate_output_correction.gate_output_correction",
    "fla.ops.rwkv7.gate_output_correction.gate_output_correction_ref",
    "fla.modules.activations.ops.bias_gelu_impl",
    "fla.modules.grpo.ops.grpo_loss_torch",
    "fla.modules.rotary.ops.rotary_embedding_ref",
    "fla.modules.rotary.ops.rotate_half",
    "fla.layers.rwkv6.DDLerpLinear",
    "fla.layers.rwkv6.LerpLinear",
    "fla.layers.rwkv6.LoRA",
    "fla.layers.simple_gla.SimpleGatedLinearAttention",
    "fla.models.rwkv6.modeling_rwkv6.RWKV6FeedForward",
    "fla.models.rwkv7.modeling_rwkv7.RWKV7FeedForward",
)

LOSSES = ("fused_cross_entropy", "fused_kl_div", "fused_linear_cross_entropy", "grpo", "l2warp")
BACK_ENDS = ("backends", "triton_ascend", "gluon")
HALVES = ("_fwd", "_bwd", "_fwdbwd", "_forward", "_backward", "_kernel")

HEADER = "# Written by golden/generate/upstream.py from flash-linear-attention {}."


def ops():
    """Functions that the packages of fla.ops export."""
    packages = [m.name for m in _below("fla.ops") if m.ispkg]
    return _exported(packages, lambda x: callable(x) and not inspect.isclass(x))


def modules():
    """Classes and functions of fla.modules, but the losses."""
    return [name for name in _modules() if not _is_loss(name)]


def losses():
    """Classes and functions of fla.modules that are losses."""
    # applies an autograd function and knows no file that defines it
    return [*(name for name in _modules() if _is_loss(name)), "fla.modules.l2warp.l2_warp"]


def layers():
    """What fla.layers exports."""
    return _exported(["fla.layers"], inspect.isclass)


def models():
    """What fla.models exports, without configurations."""
    return [name for name in _exported(["fla.models"], inspect.isclass) if not name.endswith("Config")]


# headings and lists, in the order of the file
LISTED = (("Modules.", modules), ("Losses.", losses), ("Layers.", layers), ("Models.", models))


def _below(package):
    return pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")


def _exported(names, wanted, public=lambda module: getattr(module, "__all__", ())):
    """Qualified names by identity, the shortest path first."""
    found = {}
    for name in sorted(names, key=lambda n: (n.count("."), n)):
        if any(back_end in name.split(".") for back_end in BACK_ENDS):
            continue
        module = importlib.import_module(name)
        for export in public(module):
            thing = getattr(module, export)
            if wanted(thing):
                found.setdefault(id(thing), f"{name}.{export}")
    return sorted(found.values())


def _modules():
    import fla.modules
    from torch.autograd import Function
    from torch.distributed.tensor.parallel.style import ParallelStyle

    exported = {getattr(fla.modules, name) for name in fla.modules.__all__}

    def wanted(thing):
        if inspect.isclass(thing):
            return thing in exported or not issubclass(thing, (Function, ParallelStyle))
        return callable(thing) and not getattr(thing, "__name__", "").endswith(HALVES)

    def public(module):
        own = (n for n, x in vars(module).items() if getattr(x, "__module__", None) == module.__name__)
        return getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]

    # `ops` holds the kernels of a package that exports what is public
    files = [m.name for m in _below("fla.modules") if not m.name.endswith(".ops")]
    return _exported(["fla.modules", *files], wanted, public)


def _is_loss(name):
    import fla.modules

    parts = name.split(".")
    source = getattr(getattr(fla.modules, parts[2], None), "__module__", "") if len(parts) == 3 else name
    return any(package in source.split(".") for package in LOSSES)


def main():
    print(HEADER.format(importlib.metadata.version("flash-linear-attention")))
    print("\n".join(ops()))
    for heading, names in LISTED:
        print(f"# {heading}")
        print("\n".join(names()))
    print("# Not exported, but called by layers, with their plain forms.")
    for name in INTERNAL:
        module, thing = name.rsplit(".", 1)
        if not callable(getattr(importlib.import_module(module), thing)):
            raise SystemExit(f"{name} is nothing that can be called")
        print(name)


if __name__ == "__main__":
    main()
