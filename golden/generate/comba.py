"""Vectors of comba."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HV": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("comba", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 37, "K": 20, "V": 36}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", gate="hard"),
    case("gva", {"T": 37, "HV": 4}, attrs={"qk_l2norm": True}),
)

NAIVE_NOTE = "by naive_chunk_comba, around which packing, value heads and the norm are written out"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {"chunk": ("d_q", "d_k", "d_v", "d_p", "d_g", "d_beta", "d_h0")}
FINDINGS = {}


def naive(q, k, v, p, g, beta, *, h0, cu_seqlens, scale, qk_l2norm):
    from fla.ops.comba.naive import naive_chunk_comba

    if qk_l2norm:
        q, k, p = (x / (x.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt() for x in (q, k, p))
    q, k, p = (x.repeat_interleave(v.shape[2] // x.shape[2], 2) for x in (q, k, p))

    def recur(q, k, v, p, g, beta, h0):
        return naive_chunk_comba(q, k, v, p, g, beta, scale=scale, initial_state=h0, output_final_state=True)

    return by_sequence(recur, (q, k, v, p, g, beta), h0, cu_seqlens)
