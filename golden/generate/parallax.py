"""Vectors of parallax."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HQ": 4, "K": 16}


def case(name, sizes=None, **rest):
    return Case("parallax", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "HQ": 6, "K": 20}),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("scaled", attrs={"scale": 0.5}),
    case("window", {"T": 37}, attrs={"window": 9}),
)

NAIVE_NOTE = "packing is written out around naive_parallax"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, r, k, v, *, cu_seqlens, scale, window):
    from fla.ops.parallax.naive import naive_parallax

    window = None if window is None else int(window)

    def attend(q, r, k, v, _):
        if not q.shape[1]:
            return q.new_zeros(q.shape), v.new_zeros(1)
        return naive_parallax(q, r, k, v, scale, window), v.new_zeros(1)

    return by_sequence(attend, (q, r, k, v), None, cu_seqlens)[0]
