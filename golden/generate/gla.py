"""Vectors of gla."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, absent=("gv",), **rest):
    return Case("gla", name, SIZES | (sizes or {}), absent=absent, **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("gv", "h0")),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("gv", "h0")),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
    case("gates-of-values", {"T": 37, "K": 20}, absent=("g",)),
    case("no-gate", {"T": 37, "V": 32}, absent=("g", "gv")),
)

NAIVE_NOTE = (
    "packing, direction, scale and a missing gate are written out around naive_recurrent_gla, which knows no gate of "
    "values: those are gates of the keys, one unit query for each row of the transposed state at a time"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, g, gv, h0, cu_seqlens, scale, reverse):
    import torch
    from fla.ops.gla.naive import naive_recurrent_gla

    scale = q.shape[-1] ** -0.5 if scale is None else scale

    def recur(q, k, v, g, h0):
        factor = scale * q.shape[-1] ** 0.5
        return naive_recurrent_gla(q * factor, k, v, g, initial_state=h0, output_final_state=True)

    def turned(q, k, v, gv, h0):
        start, rows, width = None if h0 is None else h0.transpose(-1, -2), [], v.shape[-1]
        for unit in torch.eye(width) * width**0.5:
            row, ht = naive_recurrent_gla(
                unit.expand(v.shape), v, k, gv, initial_state=start, output_final_state=True
            )
            rows.append(scale * (q * row).sum(-1))
        return torch.stack(rows, -1), ht.transpose(-1, -2)

    if gv is not None:
        return by_sequence(turned, (q, k, v, gv), h0, cu_seqlens, reverse)
    return by_sequence(recur, (q, k, v, torch.zeros_like(k) if g is None else g), h0, cu_seqlens, reverse)
