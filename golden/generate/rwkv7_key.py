"""Vectors of rwkv7_key."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32}


def case(name, sizes=None, **rest):
    return Case("rwkv7_key", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "D": 33}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("one-token", {"B": 3, "T": 1}),
)

NAIVE_NOTE = "k_update_ref, which knows no packing and needs none"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(k, a, k_a, *, cu_seqlens):
    from fla.ops.rwkv7.fused_k_update import k_update_ref

    return k_update_ref(k, a, k_a)
