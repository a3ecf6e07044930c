"""Vectors of rwkv7_token_shift."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "L": 6}


def case(name, sizes=None, **rest):
    return Case("rwkv7_token_shift", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 32}),
    case("ragged", {"T": 67, "D": 33, "L": 5}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("one-token", {"B": 3, "T": 1}),
)

NAIVE_NOTE = "the outputs of torch_addcmul_rwkv7, which knows no packing and needs none, stacked"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {"parallel": ("d_x", "d_delta", "d_mix")}
FINDINGS = {}


def naive(x, delta, mix, *, cu_seqlens):
    import torch
    from fla.ops.rwkv7.fused_addcmul import torch_addcmul_rwkv7

    return torch.stack([o for o in torch_addcmul_rwkv7(x, delta, *mix) if o is not None], 2)
