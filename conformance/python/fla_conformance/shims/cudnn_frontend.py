"""The KDA kernels for Hopper of nvidia-cudnn-frontend 1.32: CUDA C++ that its own wheel carries and NVRTC compiles.

    fla-conformance run --candidate 'python3 -m fla_conformance.shims.cudnn_frontend' 'kda(*K=128,V=128*bf16*'
    fla-conformance bench --candidate cuda --against 'python3 -m fla_conformance.shims.cudnn_frontend' kda

The wheel's host code chooses grids and workspaces and launches; its graph layer, which costs more host time than the
kernels take, is not asked. A batch is packed: the kernels take offsets of sequences. Their forward pass cuts a sequence
into pieces and starts each as far back as its gates need, so its time depends on the gates. Needs torch and
cuda-bindings.
"""

import torch

from fla_conformance import Declined, op, serve, versions

_WIDTH = 128


class Kda(torch.autograd.Function):
    """On one row of tokens `[T, H, 128]` with offsets; states are `[N, H, V, K]`, as the kernels have them."""

    @staticmethod
    def forward(ctx, q, k, v, g, beta, h0, offsets, scale):
        from cudnn.linear_attention.hopper import cuda_host

        o, ht = torch.empty_like(v), torch.empty_like(h0)
        tensors = {"q": q, "k": k, "v": v, "g": g, "beta": beta, "cu_seqlens": offsets, "initial_state": h0}
        cuda_host.launch(
            **_place(q), **_addresses(tensors | {"o": o, "final_state": ht}), total_tokens=q.shape[0],
            n_seqs=h0.shape[0], n_heads=v.shape[1], q_scale=scale, n_qk_heads=q.shape[1],
        )  # fmt: skip
        ctx.save_for_backward(*tensors.values())
        return o, ht

    @staticmethod
    def backward(ctx, d_o, d_ht):
        from cudnn.linear_attention.hopper import cuda_bwd_host

        q, k, v, g, beta, offsets, h0 = ctx.saved_tensors
        tokens, heads, rows = q.shape[0], q.shape[1], h0.shape[0]
        size = cuda_bwd_host.workspace_bytes(tokens, heads, rows)
        given = {"q": q, "k": k, "v": v, "g": g, "beta": beta, "cu_seqlens": offsets, "initial_state": h0}
        given |= {"dO": d_o.contiguous(), "d_final_state": d_ht.contiguous()}
        results = {"d" + name: torch.empty_like(given[name]) for name in ("q", "k", "v", "g", "beta")}
        results["d_initial_state"] = torch.empty_like(h0)
        workspace = torch.empty(size, dtype=torch.uint8, device=q.device)
        addresses = _addresses(given | results | {"workspace": workspace})
        cuda_bwd_host.launch(**_place(q), **addresses, total_tokens=tokens, n_heads=heads, n_seqs=rows)
        return *results.values(), None, None


def _place(tensor):
    return {"device": tensor.device.index or 0, "stream": torch.cuda.current_stream(tensor.device).cuda_stream}


def _addresses(tensors):
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


def kda(q, k, v, g, beta, h0, *, want, scale, cu_seqlens):
    batch, tokens, heads, width = q.shape
    usual = width**-0.5
    backward = any(x is not None and x.requires_grad for x in (q, k, v, g, beta, h0))
    _require(q.dtype == torch.bfloat16, "its kernels take bf16")
    _require(width == _WIDTH == v.shape[3], "its kernels have heads of 128")
    _require(batch * tokens > 0, "its kernels need a token")
    _require(not backward or heads == v.shape[2], "its backward kernels have as many value heads as key heads")
    _require(not backward or scale in (None, usual), "its backward kernels have the usual scale")
    rows = batch if cu_seqlens is None else len(cu_seqlens) - 1
    offsets = torch.arange(batch + 1, device=q.device) * tokens if cu_seqlens is None else cu_seqlens
    start = q.new_zeros(rows, v.shape[2], _WIDTH, _WIDTH, dtype=torch.float32) if h0 is None else h0.mT.contiguous()
    flat = [x.reshape(batch * tokens, *x.shape[2:]).contiguous() for x in (q, k, v, g, beta)]
    o, ht = Kda.apply(*flat, start, offsets.to(torch.int32), usual if scale is None else scale)
    ran = "cudnn-frontend kda_fused" + (", k_prep, k_scan_t, k_bwd" if backward else "")
    return {"o": o.reshape(v.shape), "ht": ht.mT if "ht" in want else None, "ran": ran}


def _require(holds, otherwise):
    if not holds:
        raise Declined(otherwise)


def version():
    """Versions of what computes."""
    return versions("nvidia-cudnn-frontend", "torch", "cuda-bindings")


if __name__ == "__main__":
    op("kda", arrays="torch")(kda)
    serve(name="cudnn-frontend", version=version)
