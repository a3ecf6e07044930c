"""Vectors of iplr."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 32, "V": 16}


def case(name, sizes=None, **rest):
    return Case("iplr", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 18, "V": 10}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, attrs={"scale": 0.5}),
    case("one-token", {"B": 3, "T": 1, "K": 20}),
)

NAIVE_NOTE = "packing and scale are written out around iplr_recurrence"

# case, form, storage type
TRITON = (
    ("typical", "fused_recurrent", "BF16"),
    ("packed", "fused_recurrent", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, a, b, *, h0, cu_seqlens, scale):
    from fla.ops.generalized_delta_rule.iplr.naive import iplr_recurrence

    if scale is not None:
        q = q * (scale * q.shape[-1] ** 0.5)

    def recur(q, k, v, a, b, h0):
        o, ht = iplr_recurrence(*(x.transpose(1, 2) for x in (q, k, v, a, b)), initial_state=h0)
        return o.transpose(1, 2), ht

    return by_sequence(recur, (q, k, v, a, b), h0, cu_seqlens)
