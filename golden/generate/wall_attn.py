"""Vectors of wall_attn."""

from vector import Case, by_sequence

SHORT = "few tokens: growth towards later ones overflows naive_wall_attn's gradients, although it is masked"
SIZES = {"B": 1, "T": 70, "H": 2, "HQ": 4, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("wall_attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("g_scalar", "sink_bias")),
    case("ragged", {"T": 67, "HQ": 6, "K": 10, "V": 18}, absent=("sink_bias",), gate="slow"),
    case("packed", lengths=(17, 0, 1, 52), absent=("g_scalar",)),
    case("sink", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 28}, gate="hard", note=SHORT),
    case("window", {"T": 37}, gate="slow", attrs={"window": 9}),
)

NAIVE_NOTE = "packing, scale and the cumulative sums, which have no CPU code, are written out around naive_wall_attn"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# case, form
INTERPRETED = (("ragged", "decode"), ("window", "decode"))
# results that a form does not give
WITHOUT = {"decode": ("d_q", "d_k", "d_v", "d_g", "d_g_scalar", "d_sink_bias")}
FINDINGS = {
    "typical-parallel-bf16": "parallel_wall_attn has gradients of gates that are not finite in f16",
}


def _cumsum(x, *, cu_seqlens, scale):
    return x.cumsum(1) * scale


def naive(q, k, v, g, *, g_scalar, sink_bias, cu_seqlens, scale, window):
    from unittest.mock import patch

    from fla.ops.wall_attn.naive import naive_wall_attn

    rest = {"sink_bias": sink_bias, "window_size": None if window is None else int(window)}
    rest["scale"] = q.shape[-1] ** -0.5 if scale is None else scale

    def attend(q, k, v, g, *scalar):
        *scalar, _ = scalar
        if not q.shape[1]:
            return q.new_zeros(*q.shape[:3], v.shape[3]), v.new_zeros(1)
        with patch("fla.ops.wall_attn.naive.chunk_global_cumsum", _cumsum):
            return naive_wall_attn(q, k, v, g, g_scalar=scalar[0] if scalar else None, **rest), v.new_zeros(1)

    return by_sequence(attend, (q, k, v, g) if g_scalar is None else (q, k, v, g, g_scalar), None, cu_seqlens)[0]
