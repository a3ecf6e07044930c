"""Vectors of gated_oja_rule."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HV": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("gated_oja_rule", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("gva", {"T": 37, "HV": 4}),
    case("no-gate", {"T": 37}, absent=("gv",)),
    case("raw", {"T": 37}, attrs={"q_l2norm": True, "k_l2norm": True}),
)

NAIVE_NOTE = (
    "fla has no naive code for it: each token is a step of naive_recurrent_kda with v for its key and k for its value, "
    "whose state is this one transposed; packing, normalisation, a missing gate and the read with q are written out"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "typical-chunk-bf16": "chunk_gated_oja_rule loses digits of the gradient of its gate",
}


def naive(q, k, v, *, gv, beta, h0, cu_seqlens, scale, q_l2norm, k_l2norm):
    import torch
    from fla.ops.kda.naive import naive_recurrent_kda

    if q_l2norm:
        q = q / (q.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt()
    if k_l2norm:
        k = k / (k.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt()
    scale = k.shape[-1] ** -0.5 if scale is None else scale
    gv = torch.zeros_like(v) if gv is None else gv
    q, k = (x.repeat_interleave(v.shape[2] // x.shape[2], 2) for x in (q, k))

    def recur(q, k, v, gv, beta, h0):
        h = k.new_zeros(k.shape[0], *v.shape[2:], k.shape[-1]) if h0 is None else h0.transpose(2, 3)
        o = [v[:, :0]]
        for t in range(k.shape[1]):
            at = slice(t, t + 1)
            inputs = (v[:, at], v[:, at], k[:, at], gv[:, at], beta[:, at])
            _, h = naive_recurrent_kda(*inputs, scale=1.0, initial_state=h, output_final_state=True)
            o.append(torch.einsum("bthk,bhvk->bthv", q[:, at] * scale, h))
        return torch.cat(o, 1), h.transpose(2, 3)

    return by_sequence(recur, (q, k, v, gv, beta), h0, cu_seqlens)
