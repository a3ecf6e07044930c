"""Vectors of gsa."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HQ": 2, "K": 16, "V": 16, "M": 8}
STATES = ("hk0", "hv0")


def case(name, sizes=None, **rest):
    return Case("gsa", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=STATES),
    case("ragged", {"T": 67, "K": 20, "V": 36, "M": 5}, absent=STATES),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    # as many slots as fla's kernels take
    case("wide", {"T": 40, "M": 16}),
    case("query-heads", {"T": 37, "HQ": 6}),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = "packing and direction are written out around naive_recurrent_gsa"

# case, form, storage type
TRITON = (
    ("typical", "fused_recurrent", "BF16"),
    ("wide", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, s, g, *, hk0, hv0, cu_seqlens, scale, reverse):
    import torch
    from fla.ops.gsa.naive import naive_recurrent_gsa

    width = q.shape[-1]

    def recur(q, k, v, s, g, states):
        start = None if states is None else (states[:, :, :width], states[:, :, width:].mT)
        o, (hk, hv) = naive_recurrent_gsa(q, k, v, s, g, scale, start, output_final_state=True)
        return o, torch.cat([hk, hv.mT], 2)

    # both states with slots last
    states = None if hk0 is None else torch.cat([hk0, hv0.mT], 2)
    o, states = by_sequence(recur, (q, k, v, s, g), states, cu_seqlens, reverse)
    return o, states[:, :, :width], states[:, :, width:].mT
