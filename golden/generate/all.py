"""Makes golden vectors with fla 0.6.0, and the manifest of those that there are.

    python3 golden/generate/all.py --producer naive                  fla's PyTorch code on the CPU
    python3 -O golden/generate/all.py --producer interpreter         fla's layers and modules on the CPU, their kernels
                                                                     by Triton's interpreter
    python3 golden/generate/all.py --producer triton --out DIR       fla's kernels, on a machine with a GPU; compiling
                                                                     them takes minutes: --shard i/n, n processes
    python3 golden/generate/all.py --manifest                        golden/manifest.toml from the files

Needs flash-linear-attention 0.6.0, torch, triton, einops, numpy. The naive code converts to f32 whatever it gets, so
its vectors are f32; f32 kernels run with TRITON_F32_DEFAULT=ieee, so that their products are f32 too, and each kernel
in the first configuration of its autotuner that fits.
"""

import argparse
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(GOLDEN.parent / "conformance" / "python"))

VECTORS, MANIFEST = GOLDEN / "vectors", GOLDEN / "manifest.toml"
HEADER = "# Written by golden/generate/all.py --manifest from the files' metadata and the makers' FINDINGS.\n"
PRECISIONS = {"BF16": "bf16", "F16": "f16", "F32": "f32"}


def modules():
    """The makers: every other file here that has cases, and those in the tables that a file may have instead."""
    here = Path(__file__).resolve().parent
    found = [importlib.import_module(p.stem) for p in sorted(here.glob("*.py")) if p.stem != Path(__file__).stem]
    return [maker for module in found for maker in getattr(module, "MAKERS", (module,)) if hasattr(maker, "CASES")]


def naive(out, only=None):
    """Every case, or those of these ops, by fla's PyTorch code."""
    from fla_conformance import op
    from vector import Provenance, make

    command = "python3 golden/generate/all.py --producer naive"
    for module in modules():
        if only and module.CASES[0].op not in only or not hasattr(module, "naive"):
            continue
        op(module.CASES[0].op, arrays="torch")(module.naive)
        for case in module.CASES:
            provenance = Provenance("naive", "naive_recurrent", "f32", command, module.NAIVE_NOTE)
            write(out, case, "naive-f32", make(case, "F32", provenance, device="cpu"))


def interpreter(out, only=None, cases=None):
    """The listed cases, by fla's classes, whose kernels run on the CPU."""
    from interpreter import after_import, prepare

    prepare()
    import fla.layers  # noqa: F401
    import fla.modules  # noqa: F401
    import fla.ops  # noqa: F401

    after_import()
    from fla_conformance.shims.fla import register
    from vector import Provenance, make

    command = "python3 -O golden/generate/all.py --producer interpreter"
    failed = 0
    for module in modules():
        if only and module.CASES[0].op not in only:
            continue
        if hasattr(module, "prepare"):
            module.prepare()
        for name, form in getattr(module, "INTERPRETED", ()):
            if cases and name not in cases:
                continue
            case = next(c for c in module.CASES if c.name == name)
            register(form)
            provenance = Provenance("interpreter", form, "f32", command)
            try:
                blob = make(case, "F32", provenance, module.WITHOUT.get(form, ()), device="cpu")
                write(out, case, f"{form}-f32", blob)
            except ValueError as error:
                failed += 1
                print(error, file=sys.stderr)
    return failed


def triton(out, shard, shards):
    """The listed cases, by fla's kernels; those that fail are printed and leave no file."""
    os.environ.setdefault("TRITON_F32_DEFAULT", "ieee")
    from fla_conformance.shims.fla import register, take_first_config, watch
    from vector import Provenance, make

    watch()
    take_first_config()
    command = f"TRITON_F32_DEFAULT={os.environ['TRITON_F32_DEFAULT']} python3 golden/generate/all.py --producer triton"
    entries = [(module, *entry) for module in modules() for entry in module.TRITON]
    failed = 0
    for module, name, form, dtype in entries[shard::shards]:
        case = next(c for c in module.CASES if c.name == name)
        provenance = Provenance("triton", form, PRECISIONS[dtype], command)
        register(form)
        try:
            blob = make(case, dtype, provenance, module.WITHOUT.get(form, ()))
            write(out, case, f"{form}-{PRECISIONS[dtype]}", blob)
        except ValueError as error:
            failed += 1
            print(error, file=sys.stderr)
    return failed


def write(out, case, suffix, blob):
    path = out / case.op / f"{case.name}-{suffix}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)
    print(f"{path} {len(blob)} bytes")


def manifest():
    """The manifest: from the files, and from what is known to be wrong about them."""
    findings = {module.CASES[0].op: module.FINDINGS for module in modules()}
    entries = [HEADER]
    for path in sorted(VECTORS.rglob("*.safetensors")):
        blob = path.read_bytes()
        fields = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])["__metadata__"]
        versions = ", ".join(f"{name} = {quote(version)}" for name, version in json.loads(fields["versions"]).items())
        keys = ("op", "attrs", "producer", "form", "dtype", "precision", "device", "command", "note")
        entry = {"file": path.relative_to(VECTORS).as_posix()} | {k: fields[k] for k in keys if fields.get(k)}
        if path.stem in findings[fields["op"]]:
            entry["finding"] = findings[fields["op"]][path.stem]
        entry["sha256"] = hashlib.sha256(blob).hexdigest()
        lines = [f"{key} = {quote(value)}" for key, value in entry.items()]
        entries.append("\n".join(["[[vector]]", *lines, f"versions = {{ {versions} }}", ""]))
    MANIFEST.write_text("\n".join(entries))
    print(f"{MANIFEST}: {len(entries) - 1} vectors")


def quote(text):
    # a JSON string of plain ASCII is a TOML basic string too
    return json.dumps(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--producer", choices=("naive", "interpreter", "triton"))
    parser.add_argument("--out", type=Path, default=VECTORS)
    parser.add_argument("--op", nargs="+", help="naive, interpreter: these ops alone")
    parser.add_argument("--case", nargs="+", help="interpreter: the cases of these names alone")
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th vector of triton, from the i-th")
    parser.add_argument("--manifest", action="store_true")
    options = parser.parse_args()
    failed = 0
    if options.producer == "naive":
        naive(options.out, options.op)
    elif options.producer == "interpreter":
        failed = interpreter(options.out, options.op, options.case)
    elif options.producer == "triton":
        failed = triton(options.out, *map(int, options.shard.split("/")))
    elif not options.manifest:
        parser.error("nothing to do: give --producer or --manifest")
    if options.manifest:
        manifest()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
