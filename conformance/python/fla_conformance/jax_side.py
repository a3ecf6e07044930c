"""Ops on JAX arrays, compiled whole: forward alone, or forward and backward in one program."""

import contextlib
import os
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from ml_dtypes import bfloat16

from .shim import Declined
from .times import Times
from .wire import Tensor

_TYPES = {"BF16": bfloat16, "F16": np.float16, "F32": np.float32, "I32": np.int32, "I64": np.int64}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_WARM_UP = 3
# calls that are queued behind one another for one time
_QUEUE = 10
_BY_QUEUE = f"mean of {_QUEUE} calls queued behind one another until the device has done them; the cache is not emptied"


class JaxSide:
    """What the shim needs of an array library."""

    kind = "jax"
    features = frozenset({"bench", "bench_packed"})

    def __init__(self):
        self.device = jax.devices()[0]
        self.device_name = self.device.device_kind
        # programs by what they were made for
        self.programs = {}
        self.last = None

    def load(self, tensor):
        if tensor.dtype not in _TYPES:
            raise Declined(f"{tensor.dtype} is not offered: JAX runs without 64-bit floats here")
        # integers become 32 bits wide, as everywhere in JAX
        return jnp.asarray(np.frombuffer(tensor.data, _TYPES[tensor.dtype]).reshape(tensor.shape))

    def store(self, name, array, dtype):
        values = np.asarray(array)
        if values.dtype not in _NAMES:
            raise TypeError(f"{name}: expected a tensor of floats, got {values.dtype}")
        return Tensor(_NAMES[values.dtype], tuple(values.shape), values.tobytes())

    def same(self, array, tensor):
        return np.asarray(array).astype(_TYPES[tensor.dtype]).tobytes() == tensor.data

    def zeros_like(self, array):
        return jnp.zeros_like(array)

    def poison(self, fill):
        return contextlib.nullcontext()

    def survive(self):
        """After a fault the device may be lost to this process; then it ends, so that the harness starts a new one."""
        try:
            (jnp.ones(()) + 1).block_until_ready()
        except Exception as error:
            print(f"the device is lost: {error}", file=sys.stderr, flush=True)
            os._exit(70)

    def compute(self, name, call, arguments, gradients, cotangents):
        """The results of `call(arguments)`, a dict, with the gradients by these inputs, and what ran."""
        arrays = {n: x for n, x in arguments.items() if isinstance(x, jax.Array)}
        fixed = {n: x for n, x in arguments.items() if n not in arrays}
        shapes = tuple((n, x.shape, str(x.dtype)) for n, x in sorted((arrays | cotangents).items()))
        key = (name, frozenset(fixed.items()), shapes, tuple(gradients))
        if key not in self.programs:
            self.programs[key] = _compiled(call, fixed, gradients, arrays, cotangents)
        program, ran = self.programs[key]
        self.last = (program, arrays, cotangents)
        return jax.block_until_ready(program(arrays, cotangents)), ran

    def generator(self, seed):
        return _Keys(seed)

    def normal(self, generator, shape, dtype):
        return jax.random.normal(generator.next(), tuple(shape), jnp.float32)

    def cast(self, array, dtype):
        return array.astype(_TYPES[dtype])

    def functions(self):
        return jnp

    def bytes_of(self, array):
        return array.nbytes

    def timed(self, run, iterations):
        """Times, and the last answer: the program that `run` runs, without what it takes to find it."""
        answer = run()
        program, arrays, cotangents = self.last
        for _ in range(_WARM_UP):
            jax.block_until_ready(program(arrays, cotangents))
        each, queued = [], []
        for _ in range(iterations):
            begin = time.perf_counter_ns()
            for _ in range(_QUEUE):
                called = time.perf_counter_ns()
                results = program(arrays, cotangents)
                queued.append(time.perf_counter_ns() - called)
            jax.block_until_ready(results)
            each.append((time.perf_counter_ns() - begin) / _QUEUE)
        return Times(each, _peak(program), statistics.median(queued), _BY_QUEUE), (results, answer[1])


class _Keys:
    """Random keys, one after another."""

    def __init__(self, seed):
        self.key = jax.random.key(seed % 2**31)

    def next(self):
        self.key, key = jax.random.split(self.key)
        return key


def _compiled(call, fixed, gradients, arrays, cotangents):
    """The program, and what it says that it runs."""
    said = []

    def results(arrays, cotangents):
        def forward(leaves):
            outputs, ran = call(fixed | arrays | leaves)
            said.append(ran)
            return {name: o for name, o in outputs.items() if o is not None}

        leaves = {name: arrays[name] for name in gradients}
        if not leaves:
            return forward({})
        outputs, pull_back = jax.vjp(forward, leaves)
        given = {name: cotangents.get(f"d_{name}", jnp.zeros_like(o)).astype(o.dtype) for name, o in outputs.items()}
        (found,) = pull_back(given)
        return outputs | {f"d_{name}": x for name, x in found.items()}

    program = jax.jit(results).lower(arrays, cotangents).compile()
    return program, said[-1]


def _peak(program):
    """What the compiler has planned beyond the arguments, in bytes."""
    plan = program.memory_analysis()
    return None if plan is None else plan.temp_size_in_bytes + plan.output_size_in_bytes
