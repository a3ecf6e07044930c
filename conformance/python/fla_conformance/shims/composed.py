"""What fla has as launchers or device functions alone, put together into functions that autograd knows."""

import torch
import triton
import triton.language as tl
from fla.ops.atk import chunk_atk_bwd, chunk_atk_fwd, recompute_atk_fwd
from fla.ops.utils import softmax_bwd, softmax_fwd
from fla.ops.utils.softplus import softplus as device_softplus

_BLOCK = 256


class _Atk(torch.autograd.Function):
    @staticmethod
    def forward(ctx, k, beta, g, a0, log_atk_scale, cu_seqlens, numbers):
        ctx.save_for_backward(k, beta, g, a0, log_atk_scale, cu_seqlens)
        ctx.numbers = numbers
        given = {"initial_A_state": a0, "log_atk_scale": log_atk_scale, "cu_seqlens": cu_seqlens}
        return chunk_atk_fwd(k, beta, g, output_final_state=True, **given, **numbers)

    @staticmethod
    def backward(ctx, d_o, d_at):
        k, beta, g, a0, log_atk_scale, cu_seqlens = ctx.saved_tensors
        given = {"initial_A_state": a0, "log_atk_scale": log_atk_scale, "cu_seqlens": cu_seqlens} | ctx.numbers
        _, ac, a, sa = recompute_atk_fwd(k, beta, g, **given)
        d_k, d_beta, d_g, d_scale, d_a0 = chunk_atk_bwd(k, g, beta, d_o, ac, a, sa, dat=d_at, **given)
        return d_k.to(k.dtype), d_beta, d_g, d_a0, d_scale, None, None


def chunk_atk(k, beta, g, log_atk_scale, a0=None, cu_seqlens=None, x=1.5, eps=1e-6):
    """`chunk_atk_fwd` with `chunk_atk_bwd`."""
    return _Atk.apply(k, beta, g, a0, log_atk_scale, cu_seqlens, {"x": x, "eps": eps})


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        p = softmax_fwd(x)
        ctx.save_for_backward(p)
        ctx.dtype = x.dtype
        return p

    @staticmethod
    def backward(ctx, d_p):
        (p,) = ctx.saved_tensors
        return softmax_bwd(p, d_p.contiguous()).to(ctx.dtype)


def softmax(x):
    """`softmax_fwd` with `softmax_bwd`."""
    return _Softmax.apply(x)


@triton.jit
def _softplus_kernel(x, o, count, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < count, other=0.0).to(tl.float32)
    tl.store(o + at, device_softplus(value), mask=at < count)


def softplus(x):
    """The device function `softplus` on every element."""
    o = torch.empty_like(x, dtype=torch.float32)
    if x.numel():
        _softplus_kernel[(triton.cdiv(x.numel(), _BLOCK),)](x.contiguous(), o, x.numel(), _BLOCK)
    return o
