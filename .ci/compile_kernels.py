"""Compiles every kernel for every GPU architecture, without a GPU, and holds what each needs of one to the contract.

    python3 .ci/compile_kernels.py [--only PATTERN] [--archs sm_90a,gfx942] [--every N] [--update] [--plans-only]

NVIDIA: NVRTC from the package nvidia-cuda-nvrtc, with the options of optimized/src/device/cuda.rs. AMD: clang++-19
with the options of hiprtc, and no device library, because the kernels call none. A kernel that does not compile fails
the run, and so does one that spills registers on AMD, where nobody has seen it run yet. So does any number that is not
the one of optimized/contract.json: registers, spills and shared memory of each kernel, whether Hopper's asynchronous
products wait for one another in it, launches and workspace of each standard call of the bench. ptxas gives a kernel now
and then a few registers more or less for the same source; one that differs is therefore compiled again, and counts as
different only if no attempt gives the contract's numbers. `--update` writes what was found into the contract; the
commit that does so announces it.

The contract also names the text that its numbers were read off. With `--every N` a kernel of just this text is compiled
again on one day in N only, another part of them each day; what changed, and everything if a compiler did, always is.
"""

import argparse
import ctypes
import fnmatch
import glob
import hashlib
import importlib.metadata
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import contract

ROOT = Path(__file__).resolve().parent.parent
UNITS = ROOT / "target" / "units"
CONTRACT = ROOT / "optimized" / "contract.json"
NVIDIA, AMD = ("sm_80", "sm_90a", "sm_100a"), ("gfx90a", "gfx942")
SERIALIZED = "wgmma.mma_async instructions are serialized"
LINE = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
AMD_LINE = re.compile(r"(VGPRs|AGPRs|VGPRs Spill|LDS Size \[bytes/block\]): (\d+)")
# how often one that differs is compiled again: the rarer of two outcomes came once in 8 to 16 times
AGAIN = 7


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel takes; spills to memory in bytes on NVIDIA, in vector registers on AMD.

    `shared` is in bytes: what the code declares and what its launch asks for.
    """

    registers: int
    spills: int
    shared: int
    # whether ptxas lets each product of a warp group wait for the one before, for want of registers
    serialized: bool = False

    def numbers(self):
        """What the contract says of it; that it is serialized only where it is."""
        numbers = asdict(self)
        if not numbers.pop("serialized"):
            return numbers
        return numbers | {"serialized": 1}


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
    image = nvidia_image(library, program)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    log = log.value.decode()
    spills, registers = LINE.search(log), re.search(r"Used (\d+) registers", log)
    fixed = re.search(r"(\d+) bytes smem", log)
    if status or not spills or not registers:
        return f"NVRTC status {status}\n{log}"
    fixed = int(fixed[1]) if fixed else 0
    spilled, shared = int(spills[2]) + int(spills[3]), fixed + launch_bytes(image, unit.stem)
    return Resources(int(registers[1]), spilled, shared, SERIALIZED in log)


def nvidia_image(library, program):
    """The binary; empty when there is none."""
    size = ctypes.c_size_t()
    if library.nvrtcGetCUBINSize(program, ctypes.byref(size)):
        return b""
    image = ctypes.create_string_buffer(size.value)
    library.nvrtcGetCUBIN(program, image)
    return image.raw


def launch_bytes(image, symbol):
    """The shared memory that a launch asks for: the second number of the array `<symbol>_launch`."""
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(image))
    (array,) = elf.get_section_by_name(".symtab").get_symbol_by_name(f"{symbol}_launch")
    section = elf.get_section(array["st_shndx"])
    place = array["st_value"] - section["sh_addr"]
    return struct.unpack_from("<II", section.data(), place)[1]


def amd(unit, arch):
    """The resources of a unit, or the compiler's log."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "binary"
        command = [
            "clang++-19", "-x", "hip", "--cuda-device-only", "--no-gpu-bundle-output", "-nogpulib", "-nogpuinc",
            f"--offload-arch={arch}", "-std=c++17", "-O3", "-D__HIPCC_RTC__", "-Rpass-analysis=kernel-resource-usage",
            "-c", str(unit), "-o", str(binary),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        numbers = {name: int(value) for name, value in AMD_LINE.findall(done.stderr)}
        if done.returncode or "VGPRs Spill" not in numbers:
            return done.stderr
        shared = numbers.get("LDS Size [bytes/block]", 0) + launch_bytes(binary.read_bytes(), unit.stem)
    return Resources(numbers["VGPRs"] + numbers["AGPRs"], numbers["VGPRs Spill"], shared)


def versions(archs):
    """The compilers that these architectures need."""
    found = {}
    if any(arch in NVIDIA for arch in archs):
        # the library itself tells no patch level
        found["NVRTC"] = importlib.metadata.version("nvidia-cuda-nvrtc")
    if any(arch in AMD for arch in archs):
        text = subprocess.run(["clang++-19", "--version"], capture_output=True, text=True, check=True).stdout
        found["clang"] = re.search(r"version (\S+)", text)[1]
    return found


def listed(program, *what):
    """What `fla-conformance list` prints."""
    command = [program] if program else ["cargo", "run", "--quiet", "--release", "-p", "fla-conformance", "--"]
    return subprocess.run([*command, "list", *what], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def compiled(job):
    unit, arch = job
    return unit.stem, arch, (nvidia if arch in NVIDIA else amd)(unit, arch)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="symbols to compile")
    parser.add_argument("--archs", default=",".join(NVIDIA + AMD))
    parser.add_argument("--every", type=int, default=1, metavar="N", help="what has not changed: on one day in N")
    parser.add_argument("--program", help="fla-conformance where it is built already")
    parser.add_argument("--verbose", action="store_true", help="a line for each kernel")
    parser.add_argument("--update", action="store_true", help="write what was found into the contract")
    parser.add_argument("--plans-only", action="store_true", help="compile nothing: only launches and workspaces")
    return parser.parse_args()


def units(archs, only, program):
    """What can be compiled, and the contract's names of it if that is all there is."""
    shutil.rmtree(UNITS, ignore_errors=True)
    listed(program, "--units", str(UNITS))
    jobs = [(u, a) for a in archs for u in sorted((UNITS / ("cuda" if a in NVIDIA else "hip")).iterdir())]
    fitting = [(u, a) for u, a in jobs if fnmatch.fnmatch(u.stem, only)]
    if not fitting:
        sys.exit(f"no kernel fits {only!r}")
    whole = len(fitting) == len(jobs) and set(archs) == {*NVIDIA, *AMD}
    return fitting, {entry(job) for job in jobs} if whole else None


def text_of(job):
    """Names the text of a unit."""
    return hashlib.sha256(job[0].read_bytes()).hexdigest()[:16]


def due(jobs, agreed, every, day):
    """What is to be compiled: all that the contract's numbers were not read off, and of the rest the day's part."""
    known = {name: numbers.get(contract.TEXT) for name, numbers in agreed.items()}
    return [job for at, job in enumerate(jobs) if at % every == day % every or known.get(entry(job)) != text_of(job)]


def compile_all(jobs, verbose):
    """Resources by kernel and architecture, and what went wrong."""
    found, failed = {}, []
    with ProcessPoolExecutor() as pool:
        for symbol, arch, result in pool.map(compiled, jobs):
            if not isinstance(result, Resources):
                failed.append(f"{symbol} for {arch}:\n{result}")
                continue
            if verbose:
                numbers = f"{result.registers:4} registers {result.spills:6} spilled {result.shared:6} shared"
                print(f"{arch:8} {symbol:50} {numbers}", flush=True)
            found[f"{symbol} {arch}"] = result.numbers()
    return found, failed


def entry(job):
    """What the contract calls a unit and an architecture."""
    unit, arch = job
    return f"{unit.stem} {arch}"


def settle(found, jobs, agreed):
    """Compiles again what differs from the contract, and puts what stands into `found`."""
    agreed = {name: contract.counted(numbers) for name, numbers in agreed.items()}
    differing = [job for job in jobs if (name := entry(job)) in found and found[name] != agreed.get(name)]
    if not differing:
        return
    print(f"{len(differing)} kernels differ from the contract: compiled {AGAIN} times more", flush=True)
    results = {name: [found[name]] for name in map(entry, differing)}
    with ProcessPoolExecutor() as pool:
        again = differing * AGAIN
        for job, (_, _, result) in zip(again, pool.map(compiled, again)):
            if isinstance(result, Resources):
                results[entry(job)].append(result.numbers())
    found |= {name: contract.settled(agreed.get(name), every) for name, every in results.items()}


def summarise(found, archs):
    """Prints a line for each architecture; spills on AMD are failures."""
    failed = []
    for arch in archs:
        of_arch = {name.split()[0]: r for name, r in found.items() if name.endswith(f" {arch}")}
        spilling = [f"{symbol} ({r['spills']})" for symbol, r in of_arch.items() if r["spills"]]
        most = max((r["registers"] for r in of_arch.values()), default=0)
        print(f"{arch:8} {len(of_arch):4} kernels, at most {most} registers; spilling: {', '.join(spilling) or 'none'}")
        if arch in AMD and spilling:
            failed.append(f"{len(spilling)} kernels spill registers on {arch}")
    return failed


def main():
    options, failed, made_with = arguments(), [], {}
    agreed, archs = contract.load(CONTRACT), options.archs.split(",")
    # launches and workspace of the standard calls of the bench
    calls = json.loads(listed(options.program, "--plans"))
    found = {"plans": (calls, calls.keys())}
    if not options.plans_only:
        made_with = versions(archs)
        fitting, names = units(archs, options.only, options.program)
        every = 1 if contract.compilers(agreed, made_with) else options.every
        jobs = due(fitting, agreed["kernels"], every, int(time.time() // 86400))
        print(f"compiling {len(jobs)} of {len(fitting)}; any others are, word for word, what the contract was read off")
        kernels, failed = compile_all(jobs, options.verbose)
        settle(kernels, jobs, agreed["kernels"])
        failed += summarise(kernels, archs)
        for job in jobs:
            if numbers := kernels.get(entry(job)):
                numbers[contract.TEXT] = text_of(job)
        found["kernels"] = (kernels, names)
    if options.update:
        agreed["compilers"] |= made_with
        for section, (numbers, names) in found.items():
            contract.update(agreed, numbers, section, names)
        contract.save(CONTRACT, agreed)
    broken = [d for section, (n, names) in found.items() for d in contract.differences(agreed, n, section, names)]
    if broken:
        advice = "to announce these numbers, commit what `python3 .ci/compile_kernels.py --update` writes"
        broken = [*broken, *contract.compilers(agreed, made_with), f"{advice} into {CONTRACT.relative_to(ROOT)}"]
    for text in failed + broken:
        print(text, file=sys.stderr)
    print(f"contract: {sum(len(numbers) for numbers, _ in found.values())} entries compared")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
