"""Vectors of log_linear_attn."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HV": 2, "K": 16, "V": 16, "L": 8}


def case(name, sizes=None, **rest):
    return Case("log_linear_attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64, "L": 7}),
    case("ragged", {"T": 67, "K": 20, "V": 36}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("grouped", {"H": 1, "HV": 3, "T": 33, "L": 7}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", gate="hard"),
    case("one-token", {"B": 3, "T": 1, "L": 1}),
)

NAIVE_NOTE = "packing is written out around naive_log_linear_attn"

# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
# what is known to be wrong, by file: the heading in FINDINGS.md
FINDINGS = {"hard-gates-naive-f32": "The PyTorch references lose digits of f32 that f32 has"}


def naive(q, k, v, g, level_scales, *, cu_seqlens, scale):
    from fla.ops.log_linear_attn.naive import naive_log_linear_attn

    def attend(q, k, v, g, level_scales, _):
        # the naive code takes the logarithm of the number of tokens
        o = naive_log_linear_attn(q, k, v, g, level_scales, scale) if q.shape[1] else v
        return o, v.new_zeros(1)

    return by_sequence(attend, (q, k, v, g, level_scales), None, cu_seqlens)[0]
