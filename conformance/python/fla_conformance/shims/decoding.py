"""fla's functions for one new token, asked for token after token: what a model that generates gets."""

import math

import torch
from fla.ops.attn.decoding import attn_decoding_one_step
from fla.ops.attn.naive import naive_attn_decoding
from fla.ops.mesa_net import mesa_net_decoding_one_step, naive_mesa_net_decoding_one_step
from fla.ops.parallax.decode import parallax_decode, parallax_decode_one_step
from fla.ops.wall_attn import build_wall_kv_cache, parallel_wall_attn_decode

# how many keys of wall attention share an anchor: what its layer takes
_CHUNK = 64


def _runs(x, cu_seqlens):
    """Which rows and tokens are decoded together: all rows at a time, or each packed sequence by itself."""
    if cu_seqlens is None:
        return [(slice(None), 0, x.shape[1])]
    offsets = cu_seqlens.tolist()
    return [(slice(0, 1), start, end) for start, end in zip(offsets, offsets[1:])]


def _each(step, v, heads, cu_seqlens):
    """`step(rows, start, t)` for every token t of the sequences that begin at start, one after the other."""
    none = v.new_empty(v.shape[0], 0, heads, v.shape[-1])
    tokens = [step(rows, start, t) for rows, start, end in _runs(v, cu_seqlens) for t in range(start, end)]
    return torch.cat([none, *tokens], 1)


def _attn(step, q, k, v, g, scale, window_size, sink_bias, cu_seqlens):
    def one(rows, start, t):
        packed = [None if x is None else x[rows, start : t + 1].flatten(0, 1)[None] for x in (k, v, g)]
        offsets = torch.arange(len(q[rows]) + 1, device=q.device) * (t + 1 - start)
        o = step(q[rows, t][None], *packed, scale, offsets, window_size=window_size, sink_bias=sink_bias)
        return o.transpose(0, 1)

    return _each(one, v, q.shape[2], cu_seqlens)


def decode_attn(q, k, v, g=None, scale=None, window_size=None, sink_bias=None, cu_seqlens=None):
    """`attn_decoding_one_step` with the keys so far."""
    return _attn(attn_decoding_one_step, q, k, v, g, scale, window_size, sink_bias, cu_seqlens)


def naive_decode_attn(q, k, v, g=None, scale=None, window_size=None, sink_bias=None, cu_seqlens=None):
    """`naive_attn_decoding` with the keys so far."""
    return _attn(naive_attn_decoding, q, k, v, g, scale, window_size, sink_bias, cu_seqlens)


def _mesa_net(step, q, k, v, g, lamb, beta, h_kk, h_kv, cu_seqlens):
    runs = _runs(q, cu_seqlens)
    first = (q.shape[0] if cu_seqlens is None else len(runs), *q.shape[2:])
    h_kk = q.new_zeros(*first, q.shape[-1], dtype=torch.float32) if h_kk is None else h_kk
    h_kv = q.new_zeros(*first, v.shape[-1], dtype=torch.float32) if h_kv is None else h_kv
    o, ends = [v[:, :0].float()], []
    for i, (rows, start, end) in enumerate(runs):
        mine = rows if cu_seqlens is None else slice(i, i + 1)
        states = (h_kk[mine], h_kv[mine])
        for t in range(start, end):
            token = [x[rows, t] for x in (q, k, v, g)]
            o_t, *states = step(*token, lamb, beta[rows, t], *states)
            o.append(o_t[:, None].float())
        ends.append(states)
    return torch.cat(o, 1), *(torch.cat(states) for states in zip(*ends))


def decode_mesa_net(q, k, v, g, lamb, beta, h_kk_init=None, h_kv_init=None, cu_seqlens=None):
    """`mesa_net_decoding_one_step` from the states of the token before."""
    return _mesa_net(mesa_net_decoding_one_step, q, k, v, g, lamb, beta, h_kk_init, h_kv_init, cu_seqlens)


def naive_decode_mesa_net(q, k, v, g, lamb, beta, h_kk_init=None, h_kv_init=None, cu_seqlens=None):
    """`naive_mesa_net_decoding_one_step` from the states of the token before."""
    return _mesa_net(naive_mesa_net_decoding_one_step, q, k, v, g, lamb, beta, h_kk_init, h_kv_init, cu_seqlens)


def decode_parallax(q, r, k, v, scale=None, window_size=None, cu_seqlens=None):
    """`parallax_decode_one_step` with the keys so far."""

    def one(rows, start, t):
        seen, now = slice(start, t + 1), slice(t, t + 1)
        return parallax_decode_one_step(q[rows, now], r[rows, now], k[rows, seen], v[rows, seen], scale, window_size)

    return _each(one, v, q.shape[2], cu_seqlens)


def prefill_parallax(q, r, k, v, scale=None, window_size=None, cu_seqlens=None):
    """`parallax_decode` for half of the tokens, then for the others with the keys of all."""

    def part(rows, start, end):
        if start == end:
            return q[rows, :0]
        half = (start + end) // 2
        pieces = [(slice(start, half), slice(start, half)), (slice(half, end), slice(start, end))]
        whole = [(now, seen) for now, seen in pieces if now.start < now.stop]
        o = [parallax_decode(q[rows, n], r[rows, n], k[rows, s], v[rows, s], scale, window_size) for n, s in whole]
        return torch.cat(o, 1)

    return torch.cat([part(*run) for run in _runs(v, cu_seqlens)], 1)


def decode_wall_attn(q, k, v, g, scale=None, g_scalar=None, sink_bias=None, window_size=None, cu_seqlens=None):
    """`parallel_wall_attn_decode` with the keys so far from `build_wall_kv_cache`."""
    scale, caches = q.shape[-1] ** -0.5 if scale is None else scale, {}

    def prefix(x, rows, start):
        # sums of logarithms to base 2, from the start of the sequence
        return None if x is None else x[rows, start:].float().cumsum(1) / math.log(2)

    def one(rows, start, t):
        if start not in caches:
            p = prefix(g, rows, start)
            caches[start] = p, prefix(g_scalar, rows, start), *build_wall_kv_cache(k[rows, start:], p, _CHUNK)
        p, c, keys, anchors = caches[start]
        now, seen = slice(t - start, t - start + 1), slice(0, t - start + 1)
        given = {"g_scalar_cumsum": None if c is None else c[:, seen].contiguous(), "window_size": window_size}
        rest = keys[:, seen].contiguous(), anchors[:, : (t - start) // _CHUNK + 1].contiguous(), sink_bias
        values = v[rows, start : t + 1].contiguous()
        o, _ = parallel_wall_attn_decode(
            q[rows, t : t + 1].contiguous(), values, p[:, now].contiguous(), *rest, scale, _CHUNK, **given
        )
        return o

    return _each(one, v, q.shape[2], cu_seqlens)
