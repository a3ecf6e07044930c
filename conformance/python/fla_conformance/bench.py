"""The `bench` verb: inputs drawn here, device times, memory."""

import json
import math

import numpy as np

from .blocks import integers
from .ports import SPECS
from .shim import Declined
from .wire import Message, Tensor

_FLOATS = ("BF16", "F16", "F32", "F64")
# values of each result that go back to be checked again
_SAMPLE = 4096
# what a profile does to a log decay
_PROFILES = {"typical": 1.0, "slow_decay": 1e-3}


def bench(request, fields):
    """Times one problem: forward, or forward and backward when a gradient is wanted."""
    spec = SPECS.get(request.op.name)
    if spec is None:
        raise Declined(f"bench draws no inputs for {request.op.name}")
    profile = fields.get("profile", "typical")
    if profile not in _PROFILES:
        raise Declined(f"profile {profile} is not offered by bench")
    side = request.side
    draw = Draw(side, fields, _PROFILES[profile])
    given = fields["inputs"].split(",") if "inputs" in fields else [p.name for p in spec.given(request.attrs)]
    inputs = {p.name: draw.input(p, request.attrs, spec) for p in spec.inputs if p.name in given}
    if draw.lengths:
        inputs["cu_seqlens"] = draw.offsets()
    for p in spec.inputs:
        # minus a fraction of another input
        if p.domain.startswith("against ") and p.name in inputs:
            inputs[p.name] = -inputs[p.name] * inputs[p.domain.removeprefix("against ")]
    outputs = [p for p in spec.outputs if p.name in request.want] or spec.outputs
    cotangents = {f"d_{p.name}": draw.port(p, "normal") for p in outputs} if request.gradients else {}
    with side.poison(""), request.refusals():
        times, (results, ran) = side.timed(lambda: request.run(inputs, cotangents), int(fields["iterations"]))
    reply = {"ran": ran, "times_ns": json.dumps(times.each), "timed_by": times.by}
    if times.host is not None:
        reply["host_ns"] = times.host
    if times.peak is not None:
        answered = sum(side.bytes_of(results[name]) for name in request.want)
        reply["peak_bytes"] = times.peak
        # less than the answers themselves is no measurement
        if times.peak >= answered:
            reply["workspace_bytes"] = times.peak - answered
    return Message("done", reply, {name: _sample(side, name, results[name]) for name in request.want})


class Draw:
    """Inputs from a seed, by the spec's domains."""

    def __init__(self, side, fields, decay):
        self.side, self.decay = side, decay
        self.dims = {k: int(v) for k, v in json.loads(fields["dims"]).items()}
        self.lengths = json.loads(fields.get("seqs", "[]"))
        self.dims.setdefault("N", len(self.lengths) or self.dims["B"])
        self.dtype = fields["dtype"].upper()
        if self.dtype not in _FLOATS:
            raise ValueError(f"dtype: expected {', '.join(_FLOATS)}, got {fields['dtype']}")
        self.seed = int(fields.get("seed", "0"))
        self.generator = side.generator(self.seed)

    def input(self, port, attrs, spec):
        """An input by its domain under these attributes."""
        if port.index:
            return self._integers(integers(self.seed, port, self.dims, spec.attrs | attrs, self.lengths))
        return self.port(port, next((d for flag, d in port.raw if attrs.get(flag)), port.domain))

    def offsets(self):
        """Where packed sequences begin, and their end."""
        return self._integers(np.cumsum([0, *self.lengths], dtype=np.int64))

    def _integers(self, values):
        return self.side.load(Tensor("I64", values.shape, values.tobytes()))

    def port(self, port, domain):
        """Values for a port."""
        storage = "F64" if self.dtype == "F64" else "F32" if port.single else self.dtype
        x = self.side.normal(self.generator, [self.dims[d] for d in port.dims], storage)
        f = self.side.functions()
        if domain == "weight":
            first = port.merged[0] if port.merged else 1
            x = x / math.sqrt(max(1, math.prod(self.dims[d] for d in port.dims[first:])))
        elif domain == "unit_key":
            x = x / f.sqrt((x * x).sum(-1)[..., None])
        elif domain == "log_decay":
            x = -f.log1p(f.exp(-x)) * self.decay
        elif domain == "fraction" or domain.startswith("against "):
            x = 1 / (1 + f.exp(-x))
        elif domain == "covariance":
            x = x @ x.swapaxes(-1, -2) / x.shape[-1]
            x[..., range(x.shape[-1]), range(x.shape[-1])] += 1 / 16
        elif domain.startswith("uniform "):
            low, high = map(float, domain.split()[1:])
            x = low + (high - low) * 0.5 * (1 + f.tanh(x / math.sqrt(math.pi / 2)))
        elif domain == "log_rate":
            x = f.log(1 + 15 * 0.5 * (1 + f.tanh(x / math.sqrt(math.pi / 2))))
        return self.side.cast(x, storage)


def _sample(side, name, result):
    # from the middle: at the ends of a sequence a gradient may well be zero
    flat = result.reshape(-1)
    first = max(0, (len(flat) - _SAMPLE) // 2)
    return side.store(name, flat[first : first + _SAMPLE], "F32")
