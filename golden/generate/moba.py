"""Vectors of moba."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("moba", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "K": 20, "V": 20}, attrs={"chunk_size": 9, "topk": 4}),
    case("packed", lengths=(17, 0, 1, 52), attrs={"chunk_size": 5, "topk": 3}),
    case("every-chunk", {"T": 50}, attrs={"chunk_size": 8, "topk": 7}),
    case("no-choice", {"T": 40}, attrs={"topk": 1}),
    case("one-token", {"B": 3, "T": 1}),
)

NAIVE_NOTE = (
    "parallel_moba on the CPU: flash_attn, which it calls, is replaced by attention in plain PyTorch; rows of a batch "
    "are packed, and empty sequences, which it refuses, are left out"
)

# case, form, storage type
TRITON = ()
WITHOUT = {}
FINDINGS = {}


def _scores(q, k, scale, causal):
    import torch

    s = torch.einsum("ihd,jhd->hij", q, k) * scale
    future = torch.ones(s.shape[1:], dtype=torch.bool).triu(1)
    return s.masked_fill(future, float("-inf")) if causal else s


def _pieces(cu_seqlens_q, cu_seqlens_k):
    q, k = cu_seqlens_q.tolist(), cu_seqlens_k.tolist()
    return zip(map(slice, q, q[1:]), map(slice, k, k[1:]))


def _forward(q, k, v, cu_seqlens_q, cu_seqlens_k, softmax_scale, causal, **rest):
    """Output [T, H, V], log of the sum of exponentials [H, T], and two values that nobody reads."""
    import torch

    o, lse = [], []
    for rows, columns in _pieces(cu_seqlens_q, cu_seqlens_k):
        s = _scores(q[rows], k[columns], softmax_scale, causal)
        o.append(torch.einsum("hij,jhd->ihd", s.softmax(-1), v[columns]))
        lse.append(s.logsumexp(-1))
    return torch.cat(o), torch.cat(lse, -1), None, None


def _backward(dout, q, k, v, out, softmax_lse, dq, dk, dv, cu_seqlens_q, cu_seqlens_k, softmax_scale, causal, **rest):
    """Gradients of a part of a softmax whose output and log sum are those of the whole."""
    import torch

    for rows, columns in _pieces(cu_seqlens_q, cu_seqlens_k):
        p = (_scores(q[rows], k[columns], softmax_scale, causal) - softmax_lse[:, rows, None]).exp()
        d_p = torch.einsum("ihd,jhd->hij", dout[rows], v[columns])
        d_s = p * (d_p - (dout[rows] * out[rows]).sum(-1).T[..., None]) * softmax_scale
        dq[rows] = torch.einsum("hij,jhd->ihd", d_s, k[columns])
        dk[columns] = torch.einsum("hij,ihd->jhd", d_s, q[rows])
        dv[columns] = torch.einsum("hij,ihd->jhd", p, dout[rows])


def _whole(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, causal):
    return _forward(q, k, v, cu_seqlens_q, cu_seqlens_k, q.shape[-1] ** -0.5, causal)[0]


def naive(q, k, v, *, chunk_size, topk, cu_seqlens):
    import torch
    from fla.ops.moba import parallel

    parallel.flash_attn_varlen_func = _whole
    parallel._flash_attn_varlen_forward, parallel._flash_attn_varlen_backward = _forward, _backward
    rows, tokens = q.shape[:2]
    cu_seqlens = torch.arange(rows + 1) * tokens if cu_seqlens is None else cu_seqlens.unique_consecutive()
    packed = (x.reshape(1, rows * tokens, *x.shape[2:]) for x in (q, k, v))
    longest = int(cu_seqlens.diff().max())
    return parallel.parallel_moba(*packed, cu_seqlens, longest, int(chunk_size), int(topk)).reshape(v.shape)
