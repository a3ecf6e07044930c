"""Ops on numpy arrays."""

import contextlib
import time
import tracemalloc

import numpy as np

from .times import Times
from .wire import Tensor

_FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_INTEGERS = {"I32": np.int32, "I64": np.int64}


def widen(tensor):
    """The values of a tensor: f64 as they are, other floats as f32, which holds them all."""
    if tensor.dtype == "BF16":
        bits = np.frombuffer(tensor.data, np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tensor.shape)
    kind = (_FLOATS | _INTEGERS).get(tensor.dtype)
    if kind is None:
        raise ValueError(f"dtype: expected a float or integer type, got {tensor.dtype}")
    array = np.frombuffer(tensor.data, kind).reshape(tensor.shape)
    return array.astype(np.float32) if kind is np.float16 else array.copy()


def narrow(array, dtype):
    """A tensor of that dtype, rounded once, to nearest and ties to even."""
    array = np.ascontiguousarray(array)
    if dtype == "BF16":
        data = _bf16(array.astype(np.float64))
    else:
        with np.errstate(over="ignore"):
            data = array.astype(_FLOATS[dtype])
    return Tensor(dtype, array.shape, data.tobytes())


def _bf16(x):
    with np.errstate(over="ignore", invalid="ignore"):
        near = x.astype(np.float32)
    bits = near.view(np.uint32)
    inexact = np.isfinite(x) & (near.astype(np.float64) != x)
    # f64 -> f32 is rounded to odd, so that f32 -> bf16 does not round twice
    away = inexact & (np.abs(near.astype(np.float64)) > np.abs(x))
    bits = (bits - away.astype(np.uint32)) | inexact.astype(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(x), 0x7FC0, rounded).astype(np.uint16)


class NumpySide:
    """What the shim needs of an array library."""

    kind = "numpy"
    device_name = "cpu"
    features = frozenset({"bench", "bench_packed"})

    def load(self, tensor):
        return widen(tensor)

    def store(self, name, array, dtype):
        array = np.asarray(array)
        if not np.issubdtype(array.dtype, np.floating):
            raise TypeError(f"{name}: expected floats, got {array.dtype}")
        return narrow(array, dtype)

    def same(self, array, tensor):
        return array.tobytes() == widen(tensor).tobytes()

    def compute(self, name, call, arguments, gradients, cotangents):
        """The results of `call(arguments)`, a dict, and what ran; gradients are the op's own `backward`."""
        return call(arguments)

    def zeros_like(self, array):
        return np.zeros_like(array)

    def poison(self, fill):
        return contextlib.nullcontext()

    def survive(self):
        pass

    def generator(self, seed):
        return np.random.default_rng(seed)

    def normal(self, generator, shape, dtype):
        return generator.standard_normal(shape)

    def cast(self, array, dtype):
        return widen(narrow(array, dtype))

    def functions(self):
        return np

    def timed(self, run, iterations):
        """Times, and the last answer."""
        tracemalloc.start()
        answer = run()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        times = []
        for _ in range(iterations):
            begin = time.perf_counter_ns()
            answer = run()
            times.append(time.perf_counter_ns() - begin)
        return Times(times, peak, None, "wall clock around each call"), answer

    def bytes_of(self, array):
        return array.nbytes
