"""Ops on torch tensors."""

import contextlib
import gc
import os
import statistics
import sys
import time

import torch

from .times import Times
from .wire import Tensor

_TYPES = {
    "BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64,
    "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip
_NAMES = {v: k for k, v in _TYPES.items()}
# more than any L2 cache of today
_FLUSH_BYTES = 256 << 20
_WARM_UP = 5
_BY_EVENTS = "device events around each call, behind an emptied cache"


class TorchSide:
    """What the shim needs of an array library."""

    kind = "torch"
    features = frozenset({"bench", "bench_packed", "fill"})

    def __init__(self, device=None):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        cuda = self.device.type == "cuda"
        self.device_name = torch.cuda.get_device_name(self.device) if cuda else str(self.device)

    def load(self, tensor):
        if tensor.dtype not in _TYPES:
            raise ValueError(f"dtype: expected a float or integer type, got {tensor.dtype}")
        kind = _TYPES[tensor.dtype]
        if not tensor.data:
            return torch.zeros(tensor.shape, dtype=kind, device=self.device)
        # a copy, because the bytes belong to the message
        return torch.frombuffer(bytearray(tensor.data), dtype=kind).reshape(tensor.shape).to(self.device)

    def store(self, name, array, dtype):
        if not isinstance(array, torch.Tensor) or array.dtype not in _NAMES:
            raise TypeError(f"{name}: expected a tensor of floats, got {getattr(array, 'dtype', type(array).__name__)}")
        return Tensor(_NAMES[array.dtype], tuple(array.shape), _bytes(array))

    def same(self, array, tensor):
        return _bytes(array) == tensor.data

    def zeros_like(self, array):
        return torch.zeros_like(array)

    def compute(self, name, call, arguments, gradients, cotangents):
        """The results of `call(arguments)`, a dict, with the gradients by these inputs, and what ran."""
        leaves = {name: arguments[name].requires_grad_(True) for name in gradients}
        outputs, ran = call(arguments | leaves)
        return (outputs | self.gradients(outputs, leaves, cotangents) if leaves else outputs), ran

    def gradients(self, outputs, leaves, cotangents):
        """Gradients by `d_<input>`; a missing cotangent is zero, a missing gradient an error."""
        # an output that no leaf reaches takes no part
        roots = {name: o for name, o in outputs.items() if isinstance(o, torch.Tensor) and o.requires_grad}
        found = [None] * len(leaves)
        if roots:
            seeds = [self._seed(o, cotangents.get(f"d_{name}")) for name, o in roots.items()]
            for leaf in leaves.values():
                leaf.grad = None
            # not `grad`, which checkpoints do not allow
            torch.autograd.backward(list(roots.values()), seeds)
            found = [leaf.grad for leaf in leaves.values()]
        elif len(leaves) > 1:
            # a single input may have been forgotten
            raise NotImplementedError("no output takes part in autograd: forward only")
        gradients = {}
        for (name, leaf), gradient in zip(leaves.items(), found):
            if gradient is None and leaf.numel():
                raise ValueError(f"autograd left no gradient for {name}")
            gradients[f"d_{name}"] = torch.zeros_like(leaf) if gradient is None else gradient
        return gradients

    def _seed(self, output, cotangent):
        return torch.zeros_like(output) if cotangent is None else cotangent.to(output.dtype)

    def survive(self):
        """After an error: gives memory back, or dies when the device can do no more work.

        The harness takes the death as the answer to this call, and starts a fresh process for the next one.
        """
        if self.device.type != "cuda":
            return
        try:
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
        except Exception as error:
            print(f"the device is lost: {error}", file=sys.stderr, flush=True)
            os._exit(70)

    @contextlib.contextmanager
    def poison(self, fill):
        """While it lasts, fresh memory holds NaN or a huge value; at its end the device has finished."""
        with _patched(fill) if fill else contextlib.nullcontext():
            yield
            self._synchronize()

    def _synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def generator(self, seed):
        return torch.Generator(self.device).manual_seed(seed % 2**63)

    def normal(self, generator, shape, dtype):
        kind = torch.float64 if dtype == "F64" else torch.float32
        return torch.randn(shape, generator=generator, device=self.device, dtype=kind)

    def cast(self, array, dtype):
        return array.to(_TYPES[dtype])

    def functions(self):
        return torch

    def bytes_of(self, array):
        return array.numel() * array.element_size()

    def timed(self, run, iterations):
        """Times, and the last answer."""
        for _ in range(_WARM_UP):
            answer = run()
        del answer
        if self.device.type != "cuda":
            return self._timed_by_clock(run, iterations)
        return self._timed_by_events(run, iterations)

    def _timed_by_clock(self, run, iterations):
        times, answer = [], None
        for _ in range(iterations):
            begin = time.perf_counter_ns()
            answer = run()
            times.append(time.perf_counter_ns() - begin)
        return Times(times, None, None, "wall clock around each call"), answer

    def _timed_by_events(self, run, iterations):
        flush = torch.zeros(_FLUSH_BYTES, dtype=torch.uint8, device=self.device)
        peak = self._peak(run)
        events, queued, answer = [], [], None
        for _ in range(iterations):
            answer = None
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            flush.zero_()
            begin.record()
            called = time.perf_counter_ns()
            answer = run()
            queued.append(time.perf_counter_ns() - called)
            end.record()
            events.append((begin, end))
        self._synchronize()
        each = [round(begin.elapsed_time(end) * 1e6) for begin, end in events]
        return Times(each, peak, statistics.median(queued), _BY_EVENTS), answer

    def _peak(self, run):
        """Most bytes that one call takes, the inputs not counted."""
        # what earlier calls left in cycles would count as there before
        gc.collect()
        self._synchronize()
        torch.cuda.reset_peak_memory_stats(self.device)
        base = torch.cuda.memory_allocated(self.device)
        answer = run()
        self._synchronize()
        peak = torch.cuda.max_memory_allocated(self.device) - base
        del answer
        return peak


def _bytes(array):
    # a copy, because one element may have any stride and count as contiguous
    flat = array.detach().cpu().flatten().clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().tobytes()


@contextlib.contextmanager
def _patched(fill):
    if fill not in ("nan", "huge"):
        raise ValueError(f"fill: expected nan or huge, got {fill}")
    places = [(torch, "empty"), (torch, "empty_like"), (torch, "empty_strided")]
    places += [(torch.Tensor, "new_empty"), (torch.Tensor, "new_empty_strided")]
    own = [(owner, name, vars(owner).get(name)) for owner, name in places]
    for owner, name in places:
        setattr(owner, name, _filling(getattr(owner, name), fill))
    try:
        yield
    finally:
        for owner, name, original in own:
            # torch.Tensor inherits these; to delete the patch is to restore
            delattr(owner, name) if original is None else setattr(owner, name, original)


def _filling(allocate, fill):
    def filled(*args, **kwargs):
        fresh = allocate(*args, **kwargs)
        if fresh.is_floating_point():
            huge = min(3e38, torch.finfo(fresh.dtype).max)
            fresh.detach().fill_(float("nan") if fill == "nan" else huge)
        return fresh

    return filled
