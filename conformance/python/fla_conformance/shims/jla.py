"""jax-linear-attention 0.1.0 (package `jla`): its Pallas kernels for Hopper, under the specs' names.

    fla-conformance run --candidate 'python3 -m fla_conformance.shims.jla' 'gla(*K=128*)'
    fla-conformance bench --candidate cuda --against 'python3 -m fla_conformance.shims.jla' gla

`--impl` takes what its registry has: mosaic_gpu (its kernels, the default; they need an H100 or H200 and decline what
they do not do), chunked and reference (plain JAX, on any device). Packed sequences are its segments of one row, which
carry no states. What the spec has and jla has not, a gate for the values for example, is declined.
"""

import argparse
import os
import traceback

# before JAX is loaded: other candidates need the device's memory too
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax.numpy as jnp  # noqa: E402 (after the environment)

from fla_conformance import Declined, op, serve, versions  # noqa: E402

IMPL = "mosaic_gpu"


def attend(kind, q, k, v, gates, want, *, scale=None, h0=None, cu_seqlens=None, **options):
    """One of jla's recurrences, with outputs by the spec's names."""
    from jla import ops

    if cu_seqlens is not None:
        if h0 is not None or "ht" in want:
            raise Declined("segments of one row carry no states")
        options["segment_ids"] = segments(cu_seqlens, q.shape[1])
    options |= {"scale": scale, "initial_state": h0, "output_final_state": "ht" in want}
    o, ht = ops.linear_attention(kind, q, k, v, impl=IMPL, **gates, **options)
    return {"o": o, "ht": ht if "ht" in want else None, "ran": f"jla {kind}, {IMPL}"}


def segments(cu_seqlens, tokens):
    """The number of each token's sequence, `[1, T]`."""
    return jnp.searchsorted(cu_seqlens[1:], jnp.arange(tokens), side="right").astype(jnp.int32)[None]


def by_head(log_decay, q):
    """A decay for each head as the gate `[B, T, H]` that jla wants."""
    return jnp.broadcast_to(log_decay.astype(jnp.float32), q.shape[:3])


def simple_gla(q, k, v, g, g_gamma, h0, *, want, scale, cu_seqlens):
    gate = jnp.zeros(q.shape[:3], jnp.float32) if g is None else g
    gate = gate if g_gamma is None else gate + g_gamma
    return attend("simple_gla", q, k, v, {"g": gate}, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens)


def retention(q, k, v, h0, *, want, scale, cu_seqlens):
    gate = by_head(jnp.log1p(-jnp.exp2(-5.0 - jnp.arange(q.shape[2]))), q)
    return attend("simple_gla", q, k, v, {"g": gate}, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens)


def lightning_attn(q, k, v, h0, *, want, scale, layer_idx, num_layers, cu_seqlens):
    heads = q.shape[2]
    gate = by_head(-8.0 / heads * (1 - layer_idx / num_layers) * jnp.arange(heads), q)
    return attend("simple_gla", q, k, v, {"g": gate}, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens)


def linear_attn(q, k, v, h0, *, want, scale, cu_seqlens):
    gate = jnp.zeros(q.shape[:3], jnp.float32)
    return attend("simple_gla", q, k, v, {"g": gate}, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens)


def gla(q, k, v, g, h0, *, want, scale, cu_seqlens):
    gate = jnp.zeros(q.shape, jnp.float32) if g is None else g
    return attend("gla", q, k, v, {"g": gate}, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens)


def delta_rule(q, k, v, beta, h0, *, want, scale, qk_l2norm, cu_seqlens):
    norm, gates = bool(qk_l2norm), {"beta": beta}
    return attend("deltanet", q, k, v, gates, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens, use_qk_l2norm=norm)


def gated_delta_rule(q, k, v, g, beta, h0, *, want, scale, qk_l2norm, cu_seqlens):
    norm, gates = bool(qk_l2norm), {"g": g, "beta": beta}
    return attend("gated_deltanet", q, k, v, gates, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens, use_qk_l2norm=norm)


def kda(q, k, v, g, beta, h0, *, want, scale, qk_l2norm, cu_seqlens):
    norm, gates = bool(qk_l2norm), {"g": g, "beta": beta}
    return attend("kda", q, k, v, gates, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens, use_qk_l2norm=norm)


def gdn2(q, k, v, g, b, w, h0, *, want, scale, qk_l2norm, cu_seqlens):
    norm, gates = bool(qk_l2norm), {"g": g, "b": b, "w": w}
    return attend("gdn2", q, k, v, gates, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens, use_qk_l2norm=norm)


def dplr(q, k, v, a, b, g, h0, *, want, scale, cu_seqlens):
    # jla's default scale is 1, the spec's is that of attention
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return attend("rwkv7", q, k, v, {"w": g, "a": a, "b": b}, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens)


def rwkv7(q, g, k, v, kk, a, h0, *, want, scale, cu_seqlens):
    gates = {"w": g, "a": -kk, "b": kk * a}
    return attend("rwkv7", q, k, v, gates, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens)


def gated_delta_product(q, k, v, g, beta, h0, *, want, scale, qk_l2norm, cu_seqlens):
    # jla has the steps of a token one after another along T
    k, v, beta = (x.reshape(x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:]) for x in (k, v, beta))
    gate = jnp.zeros((*q.shape[:2], v.shape[2]), jnp.float32) if g is None else g
    norm, gates = bool(qk_l2norm), {"g": gate, "beta": beta}
    return attend(
        "gated_deltaproduct", q, k, v, gates, want, scale=scale, h0=h0, cu_seqlens=cu_seqlens, use_qk_l2norm=norm
    )


def attn(q, k, v, sink_bias, *, scale, window, cu_seqlens):
    if IMPL != "mosaic_gpu":
        raise Declined(f"jla has no {IMPL} attention")
    from jla.ops.mosaic_gpu.attention import flash_attention

    ids = None if cu_seqlens is None else segments(cu_seqlens, q.shape[1])
    window = None if window is None else int(window)
    o = flash_attention(q, k, v, segment_ids=ids, sliding_window=window, scale=scale, sinks=sink_bias)
    return {"o": o, "ran": "jla flash_attention, mosaic_gpu"}


def short_convolution(x, weight, bias, x0, *, swish, cu_seqlens):
    if IMPL != "mosaic_gpu":
        raise Declined(f"jla has no {IMPL} function for the convolution alone")
    from jla.ops.mosaic_gpu.short_conv import short_conv

    if cu_seqlens is not None and x0 is not None:
        raise Declined("segments of one row carry no states")
    ids = None if cu_seqlens is None else segments(cu_seqlens, x.shape[1])
    # the spec's state holds W inputs by channel, of which the oldest is never read again
    state = None if x0 is None else x0[:, :, 1:].swapaxes(1, 2).astype(x.dtype)
    o = short_conv(x, weight, bias, activation=bool(swish), segment_ids=ids, state=state)
    return {"o": o, "ran": "jla short_conv, mosaic_gpu"}


OPS = (
    simple_gla, retention, lightning_attn, linear_attn, gla, delta_rule, gated_delta_rule, kda, gdn2, dplr, rwkv7,
    gated_delta_product, attn, short_convolution,
)  # fmt: skip


def refusal(error):
    """What jla itself says that its kernels do not do."""
    frames = traceback.extract_tb(error.__traceback__)
    own = bool(frames) and "/jla/" in frames[-1].filename.replace("\\", "/")
    return f"jla: {error}" if own and isinstance(error, (ValueError, TypeError)) else None


def version():
    """Versions of what computes."""
    return versions("jax-linear-attention", "jax", "jaxlib")


def main():
    global IMPL
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impl", default=IMPL, choices=("mosaic_gpu", "chunked", "reference"))
    IMPL = parser.parse_args().impl
    for function in OPS:
        op(function.__name__, arrays="jax", refusal=refusal)(function)
    serve(name="jla" if IMPL == "mosaic_gpu" else f"jla-{IMPL}", version=version)


if __name__ == "__main__":
    main()
