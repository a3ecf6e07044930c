"""Vectors of based."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("based", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "K": 20, "V": 36}),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("sum", {"T": 37}, attrs={"normalize": False, "scale": 0.5}),
    case("steep", {"T": 37}, attrs={"scale": 4.0}),
)

NAIVE_NOTE = "packing and the order of the axes are written out around naive_parallel_based"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("ragged", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, cu_seqlens, scale, normalize):
    from fla.ops.based.naive import naive_parallel_based

    def attend(q, k, v, _):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return naive_parallel_based(q, k, v, scale=scale, use_norm=normalize).transpose(1, 2), v.new_zeros(1)

    return by_sequence(attend, (q, k, v), None, cu_seqlens)[0]
