"""Vectors of rwkv7_output_gate."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}


def case(name, sizes=None, **rest):
    return Case("rwkv7_output_gate", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 32}),
    case("ragged", {"T": 67, "K": 10, "V": 18}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("one-token", {"B": 3, "T": 1}),
)

NAIVE_NOTE = "gate_output_correction_ref, which knows no packing and needs none; heads are flattened around it"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("packed", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(x, q, k, r_k, v, g, *, cu_seqlens):
    from fla.ops.rwkv7.gate_output_correction import gate_output_correction_ref

    return gate_output_correction_ref(x.flatten(2), q, k, r_k, v, g.flatten(2)).view(x.shape)
