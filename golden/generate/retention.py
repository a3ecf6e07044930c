"""Vectors of retention."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("retention", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, attrs={"scale": 0.5}),
    case("heads", {"T": 37, "H": 8}),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = (
    "packing, direction and scale are written out around naive_retention; what h0 adds, and ht, are those of "
    "naive_recurrent_simple_gla with the decays of fused_recurrent_retention"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, h0, cu_seqlens, scale, reverse):
    import torch
    from fla.ops.retention.naive import naive_retention
    from fla.ops.simple_gla.naive import naive_recurrent_simple_gla

    gamma = 1 - 2.0 ** (-5.0 - torch.arange(q.shape[2]))
    scale = q.shape[-1] ** -0.5 if scale is None else scale

    def recur(q, k, v, h0):
        g = gamma.log().expand(q.shape[:3])
        factor = scale * q.shape[-1] ** 0.5
        o = naive_retention(*(x.transpose(1, 2) for x in (q * factor, k, v))).transpose(1, 2)
        _, ht = naive_recurrent_simple_gla(q, k, v, g, initial_state=h0, output_final_state=True)
        if h0 is not None:
            o = o + naive_recurrent_simple_gla(q, 0 * k, 0 * v, g, scale=scale, initial_state=h0)[0]
        return o, ht

    return by_sequence(recur, (q, k, v), h0, cu_seqlens, reverse)
