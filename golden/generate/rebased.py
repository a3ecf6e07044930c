"""Vectors of rebased."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}
# that of the naive code, which is not the op's default
EPS = 1e-6


def case(name, sizes=None, attrs=None, **rest):
    return Case("rebased", name, SIZES | (sizes or {}), attrs={"eps": EPS} | (attrs or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "K": 20, "V": 36}),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("sum", {"T": 37}, attrs={"normalize": False}),
    case("unscaled", {"T": 37}, attrs={"scale": 1.0}),
)

NAIVE_NOTE = "packing and the order of the axes are written out around naive_parallel_rebased"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("ragged", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, cu_seqlens, scale, normalize, eps):
    from fla.ops.rebased.naive import naive_parallel_rebased

    if eps != EPS:
        raise NotImplementedError(f"eps: expected {EPS}, got {eps}")

    def attend(q, k, v, _):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return naive_parallel_rebased(q, k, v, scale=scale, use_norm=normalize).transpose(1, 2), v.new_zeros(1)

    return by_sequence(attend, (q, k, v), None, cu_seqlens)[0]
