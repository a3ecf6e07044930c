"""Vectors of precond_kda."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "HV": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("precond_kda", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0", "a0")),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0", "a0")),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", gate="slow", attrs={"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("raw", {"T": 37}, attrs={"qk_l2norm": True, "softplus_gate": True}),
    case("wide", {"T": 37}, attrs={"qk_l2norm": True, "x": 2.0, "eps": 0.0625}),
)

NAIVE_NOTE = "packing and prologues are written out around naive_recurrent_precond_kda and naive_kda_gate"

# case, form, storage type
TRITON = (
    ("typical", "fused_recurrent", "BF16"),
    ("packed", "fused_recurrent", "F32"),
)
# results that a form does not give
WITHOUT = {
    "fused_recurrent": (
        *("d_q", "d_k", "d_v", "d_g", "d_g_atk", "d_beta_atk", "d_beta"),
        *("d_h0", "d_a0", "d_log_atk_scale", "d_A_log", "d_dt_bias"),
    ),
}
FINDINGS = {}


def naive(
    q,
    k,
    v,
    g,
    g_atk,
    beta_atk,
    beta,
    *,
    h0,
    a0,
    log_atk_scale,
    A_log,
    dt_bias,
    cu_seqlens,
    scale,
    qk_l2norm,
    softplus_gate,
    x,
    eps,
):
    import torch
    from fla.ops.kda.gate import naive_kda_gate
    from fla.ops.precond_kda.naive import naive_recurrent_precond_kda

    if qk_l2norm:
        q, k = (y / (y.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt() for y in (q, k))
    if softplus_gate:
        g = naive_kda_gate(g, A_log, dt_bias)

    def run(tensors, h0, a0):
        return naive_recurrent_precond_kda(
            *tensors,
            scale=scale,
            initial_state=h0,
            initial_A_state=a0,
            output_final_state=True,
            x=x,
            eps=eps,
            log_atk_scale=log_atk_scale,
        )

    tensors = (q, k, v, g, g_atk, beta_atk, beta)
    if cu_seqlens is None:
        return run(tensors, h0, a0)
    bounds = cu_seqlens.tolist()
    spans = zip(bounds, bounds[1:], h0.split(1), a0.split(1))
    parts = [run([y[:, a:b] for y in tensors], h, s) for a, b, h, s in spans]
    return tuple(torch.cat(y, i) for y, i in zip(zip(*parts), (1, 0, 0)))
