"""FlashInfer's gated delta rule for Hopper: its kernels for prompts, which have no backward pass.

    fla-conformance run --candidate 'python3 -m fla_conformance.shims.flashinfer' 'gated_delta_rule(*K=128,V=128*bf16*'
    fla-conformance bench --candidate cuda --against 'python3 -m fla_conformance.shims.flashinfer' gated_delta_rule

A batch is packed: its kernels take offsets of sequences. They take the decay itself, so that the exponential of the
gate is a part of the call. Needs flashinfer-python and nvidia-cutlass-dsl.
"""

import torch

from fla_conformance import Declined, op, serve, versions

_WIDTH = 128


def gated_delta_rule(q, k, v, g, beta, h0, *, want, scale, qk_l2norm, cu_seqlens):
    from flashinfer.gdn_prefill import chunk_gated_delta_rule

    batch, tokens, _, width = q.shape
    if any(x is not None and x.requires_grad for x in (q, k, v, g, beta, h0)):
        raise Declined("it has no backward pass")
    if q.dtype not in (torch.bfloat16, torch.float16):
        raise Declined("its kernels take bf16 and f16")
    if not width == v.shape[3] == _WIDTH:
        raise Declined("its kernels have heads of 128")
    if batch * tokens == 0:
        raise Declined("its kernels need a token")
    offsets = torch.arange(batch + 1, device=q.device) * tokens if cu_seqlens is None else cu_seqlens
    flat = [x.reshape(batch * tokens, *x.shape[2:]).contiguous() for x in (q, k, v, g.float().exp(), beta.float())]
    results = chunk_gated_delta_rule(
        *flat, scale=scale, initial_state=None if h0 is None else h0.mT.contiguous(), output_final_state="ht" in want,
        cu_seqlens=offsets, use_qk_l2norm_in_kernel=bool(qk_l2norm),
        # of packed sequences the longest is only known on the device
        max_seqlen=tokens,
    )  # fmt: skip
    o, ht = results if "ht" in want else (results, None)
    answer = {"o": o.reshape(v.shape), "ran": "flashinfer chunk_gated_delta_rule"}
    return answer | ({} if ht is None else {"ht": ht.mT})


def version():
    """Versions of what computes."""
    return versions("flashinfer-python", "nvidia-cutlass-dsl", "torch")


if __name__ == "__main__":
    op("gated_delta_rule", arrays="torch")(gated_delta_rule)
    serve(name="flashinfer", version=version)
