"""Vectors of ttt."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, absent=(), **rest):
    return Case("ttt", name, SIZES | (sizes or {}), absent=absent, **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0", "hb0")),
    case("states", {"B": 2, "T": 64}, attrs={"scale": 0.5}),
    case("ragged", {"T": 67, "K": 20, "V": 20}),
    case("packed", lengths=(16, 0, 1, 48), sizes={"T": 65}),
    case("mini-batches-of-8", {"T": 40, "K": 12, "V": 12}, attrs={"chunk_size": 8, "eps": 0.125}),
)

NAIVE_NOTE = "packing is written out around chunk_ttt_linear_ref"

# case, form, storage type
TRITON = (
    ("states", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
PADDED = "ttt counts padded tokens in hbt"
FINDINGS = {"ragged-naive-f32": PADDED, "packed-naive-f32": PADDED}


def naive(q, k, v, w, b, eta, *, h0, hb0, cu_seqlens, scale, eps, chunk_size):
    import torch
    from fla.ops.ttt.naive import chunk_ttt_linear_ref

    def run(q, k, v, eta, h0, hb0):
        if q.shape[1] == 0:
            return q * 1, h0 * 1, hb0 * 1
        bias = hb0.unsqueeze(-2)
        o, ht, hbt = chunk_ttt_linear_ref(
            q.clone(), k, v, w, b, eta.unsqueeze(-1), scale, eps, int(chunk_size), h0, bias, output_final_state=True
        )
        return o, ht, hbt.squeeze(-2)

    if cu_seqlens is None:
        rows = q.shape[0]
    else:
        rows = len(cu_seqlens) - 1
    h0 = q.new_zeros(rows, *q.shape[2:], q.shape[-1]) if h0 is None else h0
    hb0 = q.new_zeros(rows, *q.shape[2:]) if hb0 is None else hb0
    if cu_seqlens is None:
        return run(q, k, v, eta, h0, hb0)
    bounds = cu_seqlens.tolist()
    spans = zip(bounds, bounds[1:], h0.split(1), hb0.split(1))
    parts = [run(*(x[:, a:b] for x in (q, k, v, eta)), h, hb) for a, b, h, hb in spans]
    o, ht, hbt = zip(*parts)
    return torch.cat(o, 1), torch.cat(ht), torch.cat(hbt)
