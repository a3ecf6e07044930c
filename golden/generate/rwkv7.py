"""Vectors of rwkv7."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("rwkv7", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 10, "V": 18}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = (
    "rwkv7 has no naive code: dplr_recurrence with -kk and kk a, as fused_mul_recurrent_rwkv7 forms them; packing, "
    "direction and scale are written out around it"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, g, k, v, kk, a, *, h0, cu_seqlens, scale, reverse):
    from fla.ops.generalized_delta_rule.dplr.naive import dplr_recurrence

    q = q * (scale * q.shape[-1] ** 0.5)

    def recur(q, g, k, v, kk, a, h0):
        heads_first = (x.transpose(1, 2) for x in (q, k, v, -kk, kk * a, g))
        o, ht = dplr_recurrence(*heads_first, initial_state=h0)
        return o.transpose(1, 2), ht

    return by_sequence(recur, (q, g, k, v, kk, a), h0, cu_seqlens, reverse)
