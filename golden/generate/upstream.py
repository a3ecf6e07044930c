"""Lists the public functions of fla.ops, as the installed package exports them, one a line.

    python3 golden/generate/upstream.py > golden/upstream.txt

Public is what a package `fla.ops.<family>` names in `__all__`, and what is a function; a second name for the same function
is left out, and so are the packages of hardware back ends, which stand in for the functions of the others.
`upstream_without.txt` says of which there is no spec, and why.
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
)

HEADER = "# Written by golden/generate/upstream.py from flash-linear-attention {}."


def functions():
    """Qualified names by function, families in alphabetical order, the shortest path first."""
    import fla.ops

    packages = [m.name for m in pkgutil.walk_packages(fla.ops.__path__, "fla.ops.") if m.ispkg]
    found = {}
    for name in sorted(packages, key=lambda n: (n.count("."), n)):
        if "backends" in name or "triton_ascend" in name:
            continue
        module = importlib.import_module(name)
        for export in getattr(module, "__all__", ()):
            function = getattr(module, export)
            if callable(function) and not inspect.isclass(function):
                found.setdefault(id(function), f"{name}.{export}")
    return sorted(found.values())


def main():
    print(HEADER.format(importlib.metadata.version("flash-linear-attention")))
    print("\n".join(functions()))
    print("# Not exported, but called by layers, with their plain forms.")
    for name in INTERNAL:
        module, function = name.rsplit(".", 1)
        if not callable(getattr(importlib.import_module(module), function)):
            raise SystemExit(f"{name} is no function")
        print(name)


if __name__ == "__main__":
    main()
