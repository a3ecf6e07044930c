"""Vectors of nsa."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 1, "HQ": 2, "K": 16, "V": 16, "L": 3}
PARTS = ("g_cmp", "g_slc", "g_swa")


def case(name, sizes=None, **rest):
    return Case("nsa", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64, "H": 2, "HQ": 4}, attrs={"window_size": 20}),
    case("ragged", {"T": 67, "K": 20, "V": 36}, attrs={"block_size": 13, "window_size": 7}),
    case("packed", lengths=(17, 0, 1, 52), attrs={"block_size": 8, "window_size": 10}),
    case("selection", absent=PARTS),
    case("compression", {"HQ": 16, "L": 1}, absent=("g_slc", "g_swa"), attrs={"block_size": 4, "scale": 0.5}),
    case("one-token", {"B": 3, "T": 1}),
)

NAIVE_NOTE = (
    "naive_nsa_compression and naive_nsa_selection, put together as naive_nsa does, sequence by sequence; the means of "
    "blocks are PyTorch's, because mean_pooling is a kernel, and the window is naive_parallel_attn, because there is "
    "no flash_attn on a CPU"
)

# case, form, storage type
TRITON = ()
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, g_cmp, g_slc, g_swa, block_indices, block_size, window_size, scale, cu_seqlens):
    import torch
    from fla.ops.attn.naive import naive_parallel_attn
    from fla.ops.nsa.naive import naive_nsa_compression, naive_nsa_selection

    size, window = int(block_size), int(window_size)
    scale = q.shape[-1] ** -0.5 if scale is None else scale

    def means(x):
        return torch.stack([block.mean(1) for block in x.split(size, 1)], 1)

    def run(q, k, v, block_indices, g_cmp, g_slc, g_swa):
        o = naive_nsa_selection(q, k, v, block_indices, size, scale)
        if g_slc is not None:
            o = o * g_slc.unsqueeze(-1)
        if g_cmp is not None:
            o = o + naive_nsa_compression(q, means(k), means(v), size, scale)[0] * g_cmp.unsqueeze(-1)
        if g_swa is not None:
            o = o + naive_parallel_attn(q, k, v, scale, window)[0] * g_swa.unsqueeze(-1)
        return o

    tensors = (q, k, v, block_indices, g_cmp, g_slc, g_swa)
    if cu_seqlens is None:
        return run(*tensors)
    bounds = cu_seqlens.tolist()
    parts = [[x if x is None else x[:, a:b] for x in tensors] for a, b in zip(bounds, bounds[1:]) if a < b]
    return torch.cat([run(*part) for part in parts], 1)
