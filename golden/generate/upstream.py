"""Lists the public functions of fla.ops, as the installed package exports them, one a line.

    python3 golden/generate/upstream.py > golden/upstream.txt

Public is what a package `fla.ops.<family>` names in `__all__`, and what is a function; a second name for the same function
is left out, and so are the packages of hardware back ends, which stand in for the functions of the others.
"""

import importlib
import importlib.metadata
import inspect
import pkgutil

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


if __name__ == "__main__":
    main()
