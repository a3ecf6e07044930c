"""Compiles every kernel for every GPU architecture, without a GPU, and reports what each needs of one.

    python3 .ci/compile_kernels.py [--only PATTERN] [--archs sm_90a,gfx942]

NVIDIA: NVRTC from the package nvidia-cuda-nvrtc, with the options of optimized/src/device/cuda.rs. AMD: clang++-19 with the
options of hiprtc, and no device library, because the kernels call none. A kernel that does not compile fails the run, and so
does one that spills registers on AMD, where nobody has seen it run yet.
"""

import argparse
import ctypes
import fnmatch
import glob
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNITS = ROOT / "target" / "units"
NVIDIA, AMD = ("sm_80", "sm_90a", "sm_100a"), ("gfx90a", "gfx942")
LINE = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel takes; spills to memory in bytes on NVIDIA, in vector registers on AMD."""

    registers: int
    spills: int


def nvrtc():
    pattern = os.path.join(sys.prefix, "lib", "python*", "site-packages", "nvidia", "*", "lib", "libnvrtc.so.13")
    found = glob.glob(pattern)
    if not found:
        sys.exit("libnvrtc is missing: pip install 'nvidia-cuda-nvrtc==13.0.*'")
    # it looks for its built-in headers beside itself only when they are loaded already
    for path in sorted(glob.glob(os.path.join(os.path.dirname(found[0]), "libnvrtc-builtins.so.*"))):
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(found[0])


def nvidia(unit, arch):
    """The resources of a unit, or the compiler's log."""
    library, program = nvrtc(), ctypes.c_void_p()
    options = [f"-arch={arch}", "-std=c++17", "-default-device", "--ptxas-options=-v"]
    library.nvrtcCreateProgram(ctypes.byref(program), unit.read_bytes(), unit.name.encode(), 0, None, None)
    texts = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    status = library.nvrtcCompileProgram(program, len(options), texts)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    log = log.value.decode()
    spills, registers = LINE.search(log), re.search(r"Used (\d+) registers", log)
    if status or not spills or not registers:
        return f"NVRTC status {status}\n{log}"
    return Resources(int(registers[1]), int(spills[2]) + int(spills[3]))


def amd(unit, arch):
    """The resources of a unit, or the compiler's log."""
    command = [
        "clang++-19", "-x", "hip", "--cuda-device-only", "--no-gpu-bundle-output", "-nogpulib", "-nogpuinc", f"--offload-arch={arch}", "-std=c++17",
        "-O3", "-D__HIPCC_RTC__", "-Rpass-analysis=kernel-resource-usage", "-c", str(unit), "-o", os.devnull,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    numbers = {name: int(value) for name, value in re.findall(r"(VGPRs|AGPRs|VGPRs Spill): (\d+)", done.stderr)}
    if done.returncode or "VGPRs Spill" not in numbers:
        return done.stderr
    return Resources(numbers["VGPRs"] + numbers["AGPRs"], numbers["VGPRs Spill"])


def compiled(job):
    unit, arch = job
    return unit.stem, arch, (nvidia if arch in NVIDIA else amd)(unit, arch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="symbols to compile")
    parser.add_argument("--archs", default=",".join(NVIDIA + AMD))
    parser.add_argument("--verbose", action="store_true", help="a line for each kernel")
    options = parser.parse_args()
    generate = ["cargo", "run", "--quiet", "--release", "-p", "optimized", "--example", "units", "--", str(UNITS)]
    subprocess.run(generate, cwd=ROOT, check=True)
    archs = options.archs.split(",")
    jobs = [(u, a) for a in archs for u in sorted((UNITS / ("cuda" if a in NVIDIA else "hip")).iterdir())]
    jobs = [(u, a) for u, a in jobs if fnmatch.fnmatch(u.stem, options.only)]
    if not jobs:
        sys.exit(f"no kernel fits {options.only!r}")
    failed, worst = [], {a: {"kernels": 0, "registers": 0, "spilling": []} for a in archs}
    with ProcessPoolExecutor() as pool:
        for symbol, arch, result in pool.map(compiled, jobs):
            if not isinstance(result, Resources):
                failed.append(f"{symbol} for {arch}:\n{result}")
                continue
            if options.verbose:
                print(f"{arch:8} {symbol:50} {result.registers:4} registers {result.spills:6} spilled", flush=True)
            total = worst[arch]
            total["kernels"] += 1
            total["registers"] = max(total["registers"], result.registers)
            if result.spills:
                total["spilling"].append(f"{symbol} ({result.spills})")
    for arch, total in worst.items():
        names = ", ".join(total["spilling"]) or "none"
        print(f"{arch:8} {total['kernels']:4} kernels, at most {total['registers']} registers; spilling: {names}")
        if arch in AMD and total["spilling"]:
            failed.append(f"{len(total['spilling'])} kernels spill registers on {arch}")
    for text in failed:
        print(text, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
