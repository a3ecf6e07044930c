"""Vectors of stickbreaking_attn."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "HQ": 4, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("stickbreaking_attn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "HQ": 6, "K": 10, "V": 18}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("current", {"T": 37}, attrs={"attend_current": True, "scale": 0.5}),
)

NAIVE_NOTE = "packing is written out around naive_stickbreaking_attn"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, cu_seqlens, scale, attend_current):
    import torch
    from fla.ops.stickbreaking_attn.naive import naive_stickbreaking_attn

    def attend(q, k, v, _):
        o, rem = naive_stickbreaking_attn(q, k, v, scale, attend_current)
        # both outputs side by side
        return torch.cat([o, rem[..., None]], -1), v.new_zeros(1)

    both = by_sequence(attend, (q, k, v), None, cu_seqlens)[0]
    return both[..., :-1], both[..., -1]
