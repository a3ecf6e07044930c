"""Vectors of attnres."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "L": 4}


def case(name, sizes=None, **rest):
    return Case("attnres", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "D": 33, "L": 7}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("sharp", {"T": 37}, attrs={"scale": 20.0, "eps": 0.25}),
    case("normalised", {"B": 2, "T": 9}, attrs={"output_norm": True}),
    case("one-source", {"L": 1, "T": 5}, attrs={"output_norm": True}, absent=("rms_weight",)),
)

NAIVE_NOTE = "naive_attnres, which knows no packing and needs none; a missing rms_weight is ones"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, residuals, *, rms_weight, output_weight, cu_seqlens, scale, eps, output_norm):
    import torch
    from fla.ops.attnres import naive_attnres

    rms_weight = torch.ones(q.shape) if rms_weight is None else rms_weight
    sources = residuals.unbind(0)
    return naive_attnres(q, sources, rms_weight, output_weight if output_norm else None, eps, scale)
