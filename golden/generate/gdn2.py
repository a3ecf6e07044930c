"""Vectors of gdn2."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HV": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("gdn2", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 10, "V": 18}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("gva", {"T": 37, "HV": 4}),
    case("raw", {"T": 37}, attrs={"qk_l2norm": True, "softplus_gate": True}),
)

NAIVE_NOTE = "packing, value heads and prologues are written out around naive_recurrent_gdn2 and naive_kda_gate"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "packed-chunk-f32": "f32 is multiplied in TF32 on Hopper",
}


def naive(q, k, v, g, b, w, *, h0, A_log, dt_bias, cu_seqlens, scale, qk_l2norm, softplus_gate):
    from fla.ops.gdn2 import naive_recurrent_gdn2
    from fla.ops.kda.gate import naive_kda_gate

    if qk_l2norm:
        q, k = (x / (x.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt() for x in (q, k))
    if softplus_gate:
        g = naive_kda_gate(g, A_log, dt_bias)
    q, k = (x.repeat_interleave(v.shape[2] // x.shape[2], 2) for x in (q, k))

    def recur(q, k, v, g, b, w, h0):
        return naive_recurrent_gdn2(q, k, v, g, b, w, scale=scale, initial_state=h0, output_final_state=True)

    return by_sequence(recur, (q, k, v, g, b, w), h0, cu_seqlens)
