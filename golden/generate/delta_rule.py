"""Vectors of delta_rule."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("delta_rule", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, attrs={"scale": 0.5}),
    case("raw", {"T": 37}, attrs={"qk_l2norm": True}),
)

NAIVE_NOTE = "packing, scale and normalisation are written out around delta_rule_recurrence, which is head-first"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "fused_recurrent", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, beta, *, h0, cu_seqlens, scale, qk_l2norm):
    from fla.ops.delta_rule.naive import delta_rule_recurrence

    if qk_l2norm:
        q, k = (x / (x.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt() for x in (q, k))
    if scale is not None:
        # the naive code multiplies by K^-1/2 itself
        q = q * (scale * q.shape[-1] ** 0.5)

    def recur(q, k, v, beta, h0):
        o, ht = delta_rule_recurrence(*(x.transpose(1, 2) for x in (q, k, v, beta)), initial_state=h0)
        return o.transpose(1, 2), ht

    return by_sequence(recur, (q, k, v, beta), h0, cu_seqlens)
