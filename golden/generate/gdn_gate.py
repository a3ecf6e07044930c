"""Vectors of gdn_gate."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 6}


def case(name, sizes=None, **rest):
    return Case("gdn_gate", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "H": 5}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("no-bias", absent=("dt_bias",)),
)

NAIVE_NOTE = "naive_gdn_gate knows no sequences"

# case, form, storage type
TRITON = (
    ("typical", "fused", "BF16"),
    ("packed", "fused", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(g, A_log, *, dt_bias, cu_seqlens):
    from fla.ops.gated_delta_rule.gate import naive_gdn_gate

    return naive_gdn_gate(g, A_log, dt_bias)
