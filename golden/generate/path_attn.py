"""Vectors of path_attn."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HQ": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("path_attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "K": 20, "V": 36}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("grouped", {"H": 1, "HQ": 3, "T": 33}, gate="slow", attrs={"scale": 0.5}),
    case("no-gate", {"T": 37}, absent=("g",)),
    case("hard-gates", {"T": 37}, gate="hard"),
)

NAIVE_NOTE = "packing and a missing gate are written out around naive_path_attn"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "typical-parallel-bf16": "parallel_path_attn reads and writes where it must not in 16 bits",
}


def naive(q, k, v, w, beta, *, g, cu_seqlens, scale):
    import torch
    from fla.ops.path_attn import naive_path_attn

    scale = q.shape[-1] ** -0.5 if scale is None else scale
    g = torch.zeros(q.shape[:3]) if g is None else g

    def attend(q, k, v, w, beta, g, _):
        return naive_path_attn(q, k, v, w, beta, g, scale), v.new_zeros(1)

    return by_sequence(attend, (q, k, v, w, beta, g), None, cu_seqlens)[0]
