"""Vectors of simple_gla."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, absent=("g_gamma",), **rest):
    return Case("simple_gla", name, SIZES | (sizes or {}), absent=absent, **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("g_gamma", "h0")),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("g_gamma", "h0")),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("g-gamma", absent=("g",), gate="slow"),
    case("reverse", attrs={"reverse": True}),
    case("no-gate", {"V": 32}, absent=("g", "g_gamma")),
)

NAIVE_NOTE = "packing, direction, g_gamma and a missing gate are written out around naive_recurrent_simple_gla"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("ragged", "chunk", "F32"),
    ("packed", "chunk", "BF16"),
    ("states", "chunk", "F16"),
    ("hard-gates", "chunk", "BF16"),
    ("g-gamma", "chunk", "BF16"),
    ("states", "fused_chunk", "F32"),
    ("reverse", "fused_recurrent", "F32"),
    ("packed", "fused_recurrent", "BF16"),
    ("no-gate", "fused_recurrent", "F32"),
    ("typical", "parallel", "BF16"),
    ("ragged", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {"parallel": ("ht",)}
FINDINGS = {
    "ragged-chunk-f32": "f32 is multiplied in TF32 on Hopper",
    "ragged-parallel-f32": "parallel_simple_gla sums gates over the whole sequence",
}


def naive(q, k, v, *, g, g_gamma, h0, cu_seqlens, scale, reverse):
    import torch
    from fla.ops.simple_gla.naive import naive_recurrent_simple_gla

    if g is None:
        g = torch.zeros(q.shape[:3]) if g_gamma is None else g_gamma.expand(q.shape[:3])

    def recur(q, k, v, g, h0):
        return naive_recurrent_simple_gla(q, k, v, g, scale=scale, initial_state=h0, output_final_state=True)

    return by_sequence(recur, (q, k, v, g), h0, cu_seqlens, reverse)
