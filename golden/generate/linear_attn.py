"""Vectors of linear_attn."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("linear_attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0",)),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", attrs={"scale": 0.5}),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = "packing and direction are written out around naive_recurrent_linear_attn"

# case, form, storage type
TRITON = (
    ("states", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, h0, cu_seqlens, scale, reverse):
    from fla.ops.linear_attn.naive import naive_recurrent_linear_attn

    def recur(q, k, v, h0):
        return naive_recurrent_linear_attn(q, k, v, scale=scale, initial_state=h0, output_final_state=True)

    return by_sequence(recur, (q, k, v), h0, cu_seqlens, reverse)
