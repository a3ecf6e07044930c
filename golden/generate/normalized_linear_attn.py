"""Vectors of normalized_linear_attn."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("normalized_linear_attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0", "z0")),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0", "z0")),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, attrs={"scale": 0.5}),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = (
    "packing and direction are written out around naive_recurrent_linear_attn with normalize=True; a sequence without "
    "tokens, which it cannot take, keeps its states"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "typical-chunk-bf16": "The sum of keys is rounded at every token",
}


def naive(q, k, v, *, h0, z0, cu_seqlens, scale, reverse):
    import torch
    from fla.ops.linear_attn.naive import naive_recurrent_linear_attn

    def run(tensors, h0, z0):
        q, k, v = (x.flip(1) if reverse else x for x in tensors)
        if q.shape[1] == 0:
            return v, h0, z0
        # upstream keeps an axis of one token in z
        start = h0 if z0 is None else (h0, z0.unsqueeze(1))
        o, (ht, zt) = naive_recurrent_linear_attn(q, k, v, scale, start, output_final_state=True, normalize=True)
        return (o.flip(1) if reverse else o), ht, zt.squeeze(1)

    if cu_seqlens is None:
        return run((q, k, v), h0, z0)
    bounds = cu_seqlens.tolist()
    spans = zip(bounds, bounds[1:], h0.split(1), z0.split(1))
    parts = [run([x[:, a:b] for x in (q, k, v)], h, z) for a, b, h, z in spans]
    o, ht, zt = zip(*parts)
    return torch.cat(o, 1), torch.cat(ht), torch.cat(zt)
