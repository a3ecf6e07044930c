"""Makes fla's Triton kernels run on a CPU, forward and backward, by Triton's interpreter; import before fla.

The interpreter lacks a few things that fla relies on: bounds and counters of loops that are tensors, masks of integers,
arithmetic of bfloat16, which it keeps as integers and makes by cutting digits off, an autotuner that need not time
anything, functions of a device library, flash-attn, for which plain softmax attention stands in, and scans by a
function of the kernel's own, for which PyTorch does. None of that touches what another kernel computes. Assertions that
only ask for another device or storage type go with `python -O`.
"""

import builtins
import importlib.machinery
import math
import os
import sys
import types

os.environ["TRITON_INTERPRET"] = "1"
os.environ.setdefault("TRITON_F32_DEFAULT", "ieee")
# what is compiled by PyTorch runs as it is written
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")


def prepare():
    """Patches Triton; then fla may be imported, and `after_import` called."""
    from triton.runtime import interpreter
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.interpreter import InterpreterBuilder

    Autotuner._bench = lambda self, *args, **kwargs: [1.0] * 3
    for name in ("create_masked_load", "create_masked_store"):
        setattr(InterpreterBuilder, name, _with_boolean_masks(getattr(InterpreterBuilder, name)))
    _bfloat16(interpreter)
    interpreter._patch_lang_tensor = _with_scalars(interpreter._patch_lang_tensor)
    _flash_attention()
    _flash_attention_interface()


def _with_boolean_masks(method):
    def patched(self, *args, **kwargs):
        for x in args:
            data = getattr(x, "data", None)
            if getattr(data, "dtype", None) is not None and data.dtype.kind in "iu" and data.dtype.itemsize == 1:
                x.data = data.astype(bool)
        return method(self, *args, **kwargs)

    return patched


def _is_bfloat16(x):
    import triton.language as tl

    return x.dtype.scalar == tl.bfloat16


def _widened(x):
    """A tensor of the interpreter, bfloat16 as f32."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    if not _is_bfloat16(x):
        return x
    return TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32)


def _narrowed(data):
    """f32 as a tensor of bfloat16, rounded to nearest and to even."""
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    bits = np.asarray(data, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return TensorHandle(np.where(np.isnan(data), 0x7FC0, rounded).astype(np.uint16), tl.bfloat16)


def _bfloat16(interpreter):
    """Arithmetic in bfloat16 is that of f32, its result rounded."""
    import numpy as np
    import triton.language as tl

    builder = interpreter.InterpreterBuilder
    cast, dot, total = builder.cast_impl, builder.create_dot, interpreter.ReduceOps.sum

    def cast_impl(self, x, dtype):
        if dtype.scalar == tl.bfloat16 and not _is_bfloat16(x):
            return _narrowed(x.data.astype(np.float32))
        return cast(self, x if dtype.scalar == tl.bfloat16 else _widened(x), dtype)

    def elementwise(operation):
        def patched(self, *arguments):
            if not any(_is_bfloat16(x) for x in arguments[:-1]):
                return operation(self, *arguments)
            y = operation(self, *map(_widened, arguments[:-1]), arguments[-1])
            return y if y.data.dtype == bool else _narrowed(y.data)

        return patched

    def sum_(self, x):
        if not _is_bfloat16(x.handle):
            return total(self, x)
        y = np.sum(_widened(x.handle).data, axis=self.axis, keepdims=self.keep_dims)
        return self.to_tensor(_narrowed(y).data, x.dtype)

    builder.cast_impl, interpreter.ReduceOps.sum = cast_impl, sum_
    builder.create_fp_to_fp = lambda self, x, dtype, rounding: cast_impl(self, x, dtype)
    builder.create_dot = lambda self, a, b, *rest: dot(self, _widened(a), _widened(b), *rest)
    builder.get_bf16 = lambda self, value: _narrowed(np.array([value], np.float32))
    for name in ("binary_op", "unary_op"):
        setattr(builder, name, elementwise(getattr(builder, name)))


def _with_scalars(patch):
    def patched(tensor, scope):
        patch(tensor, scope)
        # NumPy converts no array with an axis, which every scalar of the interpreter's is
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    return patched


def _counting(name):
    def operation(self, other):
        y = getattr(int, name)(self, other)
        return _Counter(y) if type(y) is int else y

    return operation


class _Counter(int):
    """A loop counter of a kernel, or what is computed from it: an integer that can be converted as a tensor can."""

    __add__, __radd__, __sub__, __rsub__, __mul__, __rmul__ = map(
        _counting, ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__")
    )

    def to(self, dtype, *args, **kwargs):
        """The same value: what the interpreter computes with it has its own type."""
        import triton.language as tl

        return tl.full((), int(self), dtype)


def _range(*bounds):
    plain = [int(b.handle.data.item()) if hasattr(b, "handle") else int(b) for b in bounds]
    return map(_Counter, builtins.range(*plain))


def after_import():
    """Gives the loops of fla's kernels counters that convert, and kernels what they lack."""
    import triton.language as tl

    for name, module in list(sys.modules.items()):
        if name.startswith(("fla.ops", "fla.modules")) and not name.endswith("naive") and module is not None:
            module.range = _range
            if callable(getattr(module, "tanh", None)):
                module.tanh = _tanh
        if name.startswith("fla.ops.lightnet") and hasattr(module, "fused_additive_gate"):
            module.fused_additive_gate = _additive_gate
        if name.startswith("fla.ops.cyfa") and hasattr(module, "cyfa_cos"):
            # looked up when a kernel runs: the interpreter has its own by then
            module.cyfa_cos, module.cyfa_sin = (lambda x: tl.cos(x)), (lambda x: tl.sin(x))
        if name == "fla.ops.attnres.fused":
            module.fused_attnres_fwd = _wherever(module.fused_attnres_fwd)


def _wherever(function):
    """For a function that refuses sources of attention residuals that are not on a GPU."""
    import torch

    class Elsewhere(torch.Tensor):
        is_cuda = True
        __torch_function__ = torch._C._disabled_torch_function_impl

    def run(residuals, **rest):
        return function(residuals=(residuals[0].as_subclass(Elsewhere), *residuals[1:]), **rest)

    return run


def _tanh(x):
    import triton.language as tl

    return 2 * tl.sigmoid(2 * x) - 1


def _additive_gate(x, initial_state=None, cu_seqlens=None):
    """In PyTorch, since the interpreter lacks scans by a function of the kernel's own."""
    import torch

    def run(x, before):
        z = x.logcumsumexp(1) if before is None else torch.cat([before, x], 1).logcumsumexp(1)
        # an empty history has nothing to decay
        earlier, z = (torch.cat([z[:, :1], z[:, :-1]], 1), z) if before is None else (z[:, :-1], z[:, 1:])
        return (x - z).exp(), earlier - z, z[:, -1:]

    if cu_seqlens is None:
        return run(x, initial_state)
    ends = cu_seqlens.tolist()
    states = [None] * (len(ends) - 1) if initial_state is None else initial_state.split(1)
    k, g, last = zip(*(run(x[:, a:b], z) for a, b, z in zip(ends, ends[1:], states)))
    return torch.cat(k, 1), torch.cat(g, 1), torch.cat(last)


def _flash_attention():
    import torch

    def attention(q, k, v, window, scale):
        # [T, H, ·]; query heads share key heads in groups
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = torch.einsum("ihd,jhd->hij", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
        i = torch.arange(q.shape[0])[:, None] + k.shape[0] - q.shape[0]
        j = torch.arange(k.shape[0])[None]
        seen = (j <= i) & ((window[0] < 0) | (j >= i - window[0]))
        return torch.einsum("hij,jhd->ihd", scores.masked_fill(~seen, -math.inf).softmax(-1), v)

    def flash_attn_func(q, k, v, causal=False, window_size=(-1, -1), softmax_scale=None, **_):
        assert causal
        return torch.stack([attention(*x, window_size, softmax_scale) for x in zip(q, k, v)])

    def flash_attn_varlen_func(
        q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, causal=False, window_size=(-1, -1),
        softmax_scale=None, **_
    ):
        assert causal
        pairs = _pairs(cu_seqlens_q, cu_seqlens_k)
        return torch.cat([attention(q[i], k[j], v[j], window_size, softmax_scale) for i, j in pairs])

    module = types.ModuleType("flash_attn")
    module.__spec__ = importlib.machinery.ModuleSpec("flash_attn", None)
    module.__version__ = "2.8.3"
    module.flash_attn_func, module.flash_attn_varlen_func = flash_attn_func, flash_attn_varlen_func
    sys.modules["flash_attn"] = module


def _flash_attention_interface():
    """The two passes by themselves, as MoBA calls them, which joins several softmaxes into one."""
    import torch

    def forward(q, k, v, cu_seqlens_q, cu_seqlens_k, softmax_scale, causal, **_):
        """Outputs and the logarithms of the sums [H, T]."""
        out, sums = torch.empty_like(q), q.new_empty(q.shape[1], q.shape[0])
        for queries, keys in _pairs(cu_seqlens_q, cu_seqlens_k):
            scores = _scores(q[queries], k[keys], softmax_scale, causal)
            out[queries] = torch.einsum("hij,jhd->ihd", scores.softmax(-1), v[keys])
            sums[:, queries] = scores.logsumexp(-1)
        return out, sums, None, None

    def backward(
        dout, q, k, v, out, softmax_lse, dq, dk, dv, cu_seqlens_q, cu_seqlens_k, softmax_scale, causal, **_
    ):
        """Gradients into dq, dk and dv, for weights that sum to one over more keys than these where the sums say so."""
        for queries, keys in _pairs(cu_seqlens_q, cu_seqlens_k):
            scores = _scores(q[queries], k[keys], softmax_scale, causal)
            weights = (scores - softmax_lse[:, queries, None]).exp()
            mean = (dout[queries] * out[queries]).sum(-1).T[..., None]
            slopes = weights * (torch.einsum("ihd,jhd->hij", dout[queries], v[keys]) - mean) * softmax_scale
            dq[queries] = torch.einsum("hij,jhd->ihd", slopes, k[keys])
            dk[keys] = torch.einsum("hij,ihd->jhd", slopes, q[queries])
            dv[keys] = torch.einsum("hij,ihd->jhd", weights, dout[queries])

    def _scores(q, k, scale, causal):
        scores = torch.einsum("ihd,jhd->hij", q, k) * scale
        later = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        return scores.masked_fill(later, -math.inf) if causal else scores

    interface = types.ModuleType("flash_attn.flash_attn_interface")
    interface._flash_attn_varlen_forward, interface._flash_attn_varlen_backward = forward, backward
    sys.modules["flash_attn.flash_attn_interface"] = interface


def _pairs(*offsets):
    """The tokens of each sequence, by the offsets of its queries and of its keys."""
    ends = [c.tolist() for c in offsets]
    return list(zip(*([slice(a, b) for a, b in zip(e, e[1:])] for e in ends)))
