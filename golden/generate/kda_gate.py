"""Vectors of kda_gate."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 12}


def case(name, sizes=None, **rest):
    return Case("kda_gate", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "K": 9}),
    case("packed", lengths=(17, 0, 1, 52)),
    case("no-bias", absent=("dt_bias",)),
    case("bounded", attrs={"lower_bound": -5.0}),
    case("bounded-alone", attrs={"lower_bound": -5.0}, absent=("A_log", "dt_bias")),
)

NAIVE_NOTE = "naive_kda_gate, or naive_kda_lowerbound_gate where there is a bound; neither knows sequences"

# case, form, storage type
TRITON = (
    ("typical", "fused", "BF16"),
)
# results that a form does not give
WITHOUT = {}
# what is known to be wrong, by file: the heading in FINDINGS.md
FINDINGS = {"bounded-naive-f32": "The PyTorch references lose digits of f32 that f32 has"}


def naive(g, *, A_log, dt_bias, cu_seqlens, lower_bound):
    from fla.ops.kda.gate import naive_kda_gate, naive_kda_lowerbound_gate

    if lower_bound is None:
        return naive_kda_gate(g, A_log, dt_bias)
    return naive_kda_lowerbound_gate(g, A_log, dt_bias, lower_bound)
