"""Vectors of attn."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HQ": 4, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("g", "sink_bias")),
    case("ragged", {"T": 67, "HQ": 6, "K": 10, "V": 18}, absent=("sink_bias",)),
    case("packed", lengths=(17, 0, 1, 52), absent=("g",)),
    case("sink", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", gate="hard"),
    case("window", {"T": 37}, attrs={"window": 9}),
)

NAIVE_NOTE = "packing is written out around naive_parallel_attn"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# case, form
INTERPRETED = (("packed", "decode"), ("window", "decode"))
# results that a form does not give
WITHOUT = {"decode": ("d_q", "d_k", "d_v", "d_g", "d_sink_bias")}
FINDINGS = {}


def naive(q, k, v, *, g, sink_bias, cu_seqlens, scale, window):
    from fla.ops.attn.naive import naive_parallel_attn

    window = None if window is None else int(window)

    def attend(q, k, v, *rest):
        *g, _ = rest
        if not q.shape[1]:
            return q.new_zeros(*q.shape[:3], v.shape[3]), v.new_zeros(1)
        gate = g[0] if g else None
        return naive_parallel_attn(q, k, v, scale, window, g=gate, sink_bias=sink_bias)[0], v.new_zeros(1)

    return by_sequence(attend, (q, k, v) if g is None else (q, k, v, g), None, cu_seqlens)[0]
