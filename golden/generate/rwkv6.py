"""Vectors of rwkv6."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("rwkv6", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = "packing and direction are written out around naive_recurrent_rwkv6"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, g, u, *, h0, cu_seqlens, scale, reverse):
    from fla.ops.rwkv6.recurrent_naive import naive_recurrent_rwkv6

    def recur(q, k, v, g, h0):
        heads_first = (x.transpose(1, 2) for x in (q, k, v, g))
        o, ht = naive_recurrent_rwkv6(*heads_first, u, scale=scale, initial_state=h0, output_final_state=True)
        return o.transpose(1, 2), ht

    return by_sequence(recur, (q, k, v, g), h0, cu_seqlens, reverse)
