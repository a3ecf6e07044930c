"""causal-conv1d 1.6: its CUDA kernels, as short_convolution.

    fla-conformance run --candidate 'python3 -m fla_conformance.shims.causal_conv1d' short_convolution
    fla-conformance bench --candidate cuda --against 'python3 -m fla_conformance.shims.causal_conv1d' short_convolution

They take `[B, D, T]` in either order of memory, and are given the tokens as they lie: channels last. Their states have
a column less than the spec's, whose oldest is never read. Version 1.6.1 misreads the last state's gradient where its
channels are not next to each other, as here, from the 64th channel on.
"""

import torch
import torch.nn.functional as F

from fla_conformance import Declined, op, serve, versions


def short_convolution(x, weight, bias, x0, *, want, swish, cu_seqlens):
    from causal_conv1d import causal_conv1d_fn

    channels, taps = weight.shape
    packed = cu_seqlens is not None
    if packed and (x0 is not None or "xt" in want):
        raise Declined("packed sequences carry no states")
    if not 2 <= taps <= 4:
        raise Declined("its kernels have 2 to 4 taps")
    if channels % 8:
        raise Declined("its kernels take channels by eight")
    if x.numel() == 0:
        raise Declined("its kernels need a token")
    if x.dtype == torch.float64:
        raise Declined("its kernels take f32, bf16 and f16")
    tokens = torch.arange(x.shape[1], device=x.device)
    ids = torch.searchsorted(cu_seqlens[1:], tokens, right=True).to(torch.int32)[None] if packed else None
    # channels last, as the tokens
    start = None if x0 is None else x0[:, :, 1:].to(x.dtype).mT.contiguous().mT
    results = causal_conv1d_fn(
        x.contiguous().mT, weight, bias, seq_idx=ids, initial_states=start, return_final_states="xt" in want,
        activation="silu" if swish else None,
    )  # fmt: skip
    o, last = results if "xt" in want else (results, None)
    answer = {"o": o.mT, "ran": "causal_conv1d_fn, channels last"}
    return answer | ({} if last is None else {"xt": F.pad(last, (1, 0))})


def version():
    """Versions of what computes."""
    return versions("causal-conv1d", "torch")


if __name__ == "__main__":
    op("short_convolution", arrays="torch")(short_convolution)
    serve(name="causal-conv1d", version=version)
