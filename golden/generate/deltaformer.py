"""Vectors of deltaformer."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("deltaformer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "K": 20, "V": 20}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("full", absent=("beta",)),
    case("two-tokens", {"B": 3, "T": 2}),
)

NAIVE_NOTE = "packing is written out around naive_deltaformer_attn"

# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
# what is known to be wrong, by file: the heading in FINDINGS.md
FINDINGS = {}


def naive(q, k, v, *, beta, cu_seqlens):
    import torch
    from fla.ops.deltaformer import naive_deltaformer_attn

    beta = torch.ones(q.shape[:3]) if beta is None else beta

    def attend(q, k, v, beta, _):
        # the naive code stacks a list that has no element without tokens
        return naive_deltaformer_attn(q, k, v, beta) if q.shape[1] else v, v.new_zeros(1)

    return by_sequence(attend, (q, k, v, beta), None, cu_seqlens)[0]
