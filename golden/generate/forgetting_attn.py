"""Vectors of forgetting_attn."""

from vector import Case, by_sequence

SHORT = "few tokens: naive_forgetting_attn subtracts sums of gates over the whole sequence, in f32"
SIZES = {"B": 1, "T": 70, "H": 2, "HQ": 4, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("forgetting_attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "HQ": 6, "K": 20, "V": 36}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("slow", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 28}, gate="hard", note=SHORT),
    case("window", {"T": 37}, gate="slow", attrs={"window": 9}),
)

NAIVE_NOTE = "packing is written out around naive_forgetting_attn"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, g, *, cu_seqlens, scale, window):
    from fla.ops.forgetting_attn.naive import naive_forgetting_attn

    window = None if window is None else int(window)

    def attend(q, k, v, g, _):
        return naive_forgetting_attn(q, k, v, g, scale, window), v.new_zeros(1)

    return by_sequence(attend, (q, k, v, g), None, cu_seqlens)[0]
