"""Vectors of dsa."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 1, "HQ": 2, "K": 16, "V": 16, "L": 8}


def case(name, sizes=None, **rest):
    return Case("dsa", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64, "H": 2, "HQ": 4}),
    case("ragged", {"T": 67, "K": 20, "V": 36}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("every-token", {"T": 40, "L": 40}, attrs={"scale": 0.5}),
    case("one-token", {"B": 3, "T": 1, "L": 1}),
)

NAIVE_NOTE = "the indices are given, the indexer is skipped"

# case, form, storage type
TRITON = ()
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, indices, scale, cu_seqlens):
    from fla.ops.dsa.naive import naive_dsa

    return naive_dsa(q, k, v, None, None, indices=indices, scale=scale, cu_seqlens=cu_seqlens)
