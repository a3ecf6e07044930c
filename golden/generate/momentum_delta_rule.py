"""Vectors of momentum_delta_rule."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("momentum_delta_rule", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0", "m0")),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0", "m0")),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("undecayed", {"T": 37}, attrs={"p_times_alpha": False, "qk_l2norm": True}),
)

NAIVE_NOTE = "packing, the norm and the decay of p are written out around recurrent_momentum_delta_rule_ref"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("states", "fused_recurrent", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "typical-chunk-bf16": "chunk_momentum_delta_rule loses everything when momentum decays faster than the state",
}


def naive(q, k, v, g, log_mu, p, beta, eta, *, h0, m0, cu_seqlens, scale, qk_l2norm, p_times_alpha):
    import torch
    from fla.ops.momentum_delta_rule.naive import recurrent_momentum_delta_rule_ref

    if qk_l2norm:
        q, k, p = (x / (x.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt() for x in (q, k, p))
    if p_times_alpha:
        p = p * g.exp()[..., None]

    def recur(q, k, v, g, log_mu, p, beta, eta, states):
        h0, m0 = (None, None) if states is None else states.chunk(2, -1)
        o, states = recurrent_momentum_delta_rule_ref(
            q, k, v, g, log_mu, p, beta, eta, scale=scale, initial_S=h0, initial_M=m0, output_final_state=True
        )
        return o, torch.cat([*states], -1)

    # both states side by side
    states = None if h0 is None else torch.cat([h0, m0], -1)
    o, states = by_sequence(recur, (q, k, v, g, log_mu, p, beta, eta), states, cu_seqlens)
    return o, *states.chunk(2, -1)
