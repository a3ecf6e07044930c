"""A golden vector: a problem, and what fla computed for it, in one safetensors file with its provenance."""

import importlib.metadata
import json
import platform
import zlib
from dataclasses import dataclass, field

import numpy as np

from fla_conformance.blocks import blocks, mask, symbols
from fla_conformance.numpy_side import narrow, widen
from fla_conformance.ports import SPECS
from fla_conformance.shim import Server
from fla_conformance.wire import Message, Tensor, encode

# natural logarithm of the decay at every STRIDE-th token of `hard` gates
HARD, STRIDE = -20.0, 7
SLOW = 1e-3


@dataclass(frozen=True)
class Case:
    """A problem. Its values follow from op and name alone."""

    op: str
    name: str
    sizes: dict
    attrs: dict = field(default_factory=dict)
    lengths: tuple = ()
    absent: tuple = ()
    gate: str = "typical"
    note: str = ""
    # of a decode run: the tokens that are read at once
    prefill: int = 0

    def values(self):
        """Inputs and cotangents as f64 arrays by name."""
        spec, rng = SPECS[self.op], np.random.Generator(np.random.PCG64(zlib.crc32(f"{self.op}/{self.name}".encode())))
        sizes = self.sizes | {"N": len(self.lengths) or self.sizes["B"]}

        def draw(port, domain):
            if domain in ("symbols", "targets"):
                return symbols(rng, port, sizes, self.lengths)
            if domain == "mask":
                return mask(rng, port, sizes)
            if port.index:
                seed = zlib.crc32(f"{self.op}/{self.name}".encode())
                return blocks(seed, port, sizes, spec.attrs | self.attrs, self.lengths)
            x = rng.standard_normal([sizes[d] for d in port.dims])
            if domain == "weight":
                first = port.merged[0] if port.merged else 1
                return x / np.sqrt(np.prod([sizes[d] for d in port.dims[first:]]))
            return self.draw(x, domain)

        inputs = {
            p.name: draw(p, next((d for flag, d in p.raw if self.attrs.get(flag)), p.domain))
            for p in spec.given(self.attrs)
            if p.name not in self.absent
        }
        taken = [p for p in spec.produced(self.attrs) if not p.constant]
        return inputs | {f"d_{p.name}": draw(p, "normal") for p in taken}

    def draw(self, x, domain):
        """Standard normal values made to fit a domain."""
        if domain == "unit_key" or domain.startswith("against "):
            return x / np.linalg.norm(x, axis=-1, keepdims=True)
        if domain == "covariance":
            return x @ x.swapaxes(-1, -2) / x.shape[-1] + np.eye(x.shape[-1]) / 16
        if domain == "fraction":
            return 1 / (1 + np.exp(-x))
        if domain == "log_rate":
            return np.log(1 + 15 * np.exp(-0.5 * x * x))
        if domain.startswith("uniform "):
            low, high = map(float, domain.split()[1:])
            return low + (high - low) / (1 + np.exp(-x))
        if domain != "log_decay":
            return x
        g = -np.logaddexp(0, -x) * (SLOW if self.gate != "typical" else 1)
        if self.gate == "hard":
            g[:, STRIDE // 2 :: STRIDE] = HARD
        return g

    def message(self, dtype, want):
        """The call that poses the problem in a storage type; cotangents only of outputs that are wanted too."""
        spec, tensors = SPECS[self.op], {}
        outputs = {f"d_{p.name}" for p in spec.outputs}
        gradients = any(w.startswith("d_") for w in want)
        for name, x in self.values().items():
            if name in outputs and not (gradients and name[2:] in want):
                continue
            port = spec.input(name) or next(p for p in spec.outputs if f"d_{p.name}" == name)
            integer = port.index and name == port.name
            stored = "F32" if port.single else dtype
            tensors[name] = Tensor("I64", x.shape, x.tobytes()) if integer else narrow(x, stored)
        if self.lengths:
            offsets = np.cumsum([0, *self.lengths], dtype=np.int64)
            tensors["cu_seqlens"] = Tensor("I64", offsets.shape, offsets.tobytes())
        fields = {"op": self.op, "attrs": json.dumps(self.attrs), "want": ",".join(want)}
        return Message("call", fields | ({"mode": f"decode {self.prefill}"} if self.prefill else {}), tensors)

    def want(self):
        """Every output, and the gradient of every given input that has one; of a decode run the logits."""
        if self.prefill:
            return ["logits"]
        given = [p for p in SPECS[self.op].given(self.attrs) if not p.index and not p.constant]
        ports = [p for p in given if p.name not in self.absent]
        return [*(p.name for p in SPECS[self.op].produced(self.attrs)), *(f"d_{p.name}" for p in ports)]


@dataclass(frozen=True)
class Provenance:
    """Who computed a vector, and how."""

    producer: str
    form: str
    precision: str
    command: str
    note: str = ""


def make(case, dtype, provenance, without=(), device=None):
    """The file of a vector; the op must be registered with the shim.

    Raises ValueError when fla does not answer, or not with finite numbers.
    """
    call = case.message(dtype, [w for w in case.want() if w not in without])
    server = Server("golden", device=device)
    reply = server.answer(call)
    if reply.verb != "done":
        raise ValueError(f"{case.op} {case.name} {provenance.form}: {reply.verb} {reply.fields}")
    for name, tensor in reply.tensors.items():
        if not np.isfinite(widen(tensor)).all():
            raise ValueError(f"{case.op} {case.name} {provenance.form}: {name} is not finite")
    decoding = f"{case.prefill} tokens at once, then one by one, with fla's cache" if case.prefill else ""
    fields = {
        "op": case.op,
        "attrs": json.dumps(case.attrs),
        "producer": provenance.producer,
        "form": provenance.form,
        "dtype": dtype,
        "precision": provenance.precision,
        "device": server.sides["torch"].device_name,
        "versions": json.dumps(versions()),
        "command": provenance.command,
        "note": "; ".join(n for n in (case.note, provenance.note, decoding) if n),
    }
    return encode(Message("done", fields, call.tensors | reply.tensors))


def versions():
    """What the numbers depend on."""
    names = {"fla": "flash-linear-attention", "torch": "torch", "triton": "triton", "numpy": "numpy"}
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return {name: found.get(package, "none") for name, package in names.items()} | {"python": platform.python_version()}


def by_sequence(recur, tensors, h0, cu_seqlens, reverse=False):
    """Runs a function that knows neither packing nor direction on each sequence by itself, as the spec defines both."""
    import torch

    def run(tensors, h0):
        flipped = [x.flip(1) for x in tensors] if reverse else tensors
        o, ht = recur(*flipped, h0)
        return (o.flip(1) if reverse else o), ht

    if cu_seqlens is None:
        return run(tensors, h0)
    bounds = cu_seqlens.tolist()
    starts = [None] * (len(bounds) - 1) if h0 is None else h0.split(1)
    parts = [run([x[:, a:b] for x in tensors], h) for a, b, h in zip(bounds, bounds[1:], starts)]
    return torch.cat([o for o, _ in parts], 1), torch.cat([h for _, h in parts])
