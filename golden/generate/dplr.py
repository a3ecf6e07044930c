"""Vectors of dplr."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("dplr", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 10, "V": 18}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37, "K": 32}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = "packing, direction and scale are written out around dplr_recurrence"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, a, b, g, *, h0, cu_seqlens, scale, reverse):
    from fla.ops.generalized_delta_rule.dplr.naive import dplr_recurrence

    if scale is not None:
        q = q * (scale * q.shape[-1] ** 0.5)

    def recur(q, k, v, a, b, g, h0):
        o, ht = dplr_recurrence(*(x.transpose(1, 2) for x in (q, k, v, a, b, g)), initial_state=h0)
        return o.transpose(1, 2), ht

    return by_sequence(recur, (q, k, v, a, b, g), h0, cu_seqlens, reverse)
