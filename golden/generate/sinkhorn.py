"""Vectors of sinkhorn."""

from vector import Case

SIZES = {"B": 1, "T": 24, "M": 4}


def case(name, sizes=None, **rest):
    return Case("sinkhorn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2}),
    case("ragged", {"T": 19, "M": 7}),
    case("packed", lengths=(7, 0, 1, 16)),
    case("one-iteration", attrs={"num_iters": 1}),
)

NAIVE_NOTE = "naive_sinkhorn knows no sequences"

# case, form, storage type
TRITON = (
    ("typical", "fused", "BF16"),
    ("packed", "fused", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(logits, *, cu_seqlens, num_iters):
    from fla.ops.utils.sinkhorn import naive_sinkhorn

    return naive_sinkhorn(logits, int(num_iters))
