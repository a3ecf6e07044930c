"""Vectors of titans."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, absent=(), **rest):
    return Case("titans", name, SIZES | (sizes or {}), absent=absent, **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("states", {"B": 2, "T": 48}),
    case("ragged", {"T": 67, "K": 20, "V": 20}),
    case("packed", {"T": 65}, lengths=(16, 0, 1, 48)),
    case("mini-batches-of-8", {"T": 40, "K": 12, "V": 12}, attrs={"chunk_size": 8, "eps": 0.125}),
)

NAIVE_NOTE = "packing is written out around chunk_titans_linear_ref"

# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
SLIP = "titans steps along no gradient"
FINDINGS = {f"{name}-naive-f32": SLIP for name in ("typical", "states", "ragged", "packed", "mini-batches-of-8")}


def naive(q, k, v, w, b, theta, alpha, eta, *, h0, cu_seqlens, eps, chunk_size):
    from fla.ops.titans.naive import chunk_titans_linear_ref

    def recur(q, k, v, theta, alpha, eta, h0):
        if q.shape[1] == 0:
            return q * 1, (q.new_zeros(1, *q.shape[2:], q.shape[-1]) if h0 is None else h0 * 1)
        rates = (x.unsqueeze(-1) for x in (theta, alpha, eta))
        return chunk_titans_linear_ref(
            q, k, v, w, b, *rates, eps, int(chunk_size), h0, output_final_state=True, use_chunk=False
        )

    return by_sequence(recur, (q, k, v, theta, alpha, eta), h0, cu_seqlens)
