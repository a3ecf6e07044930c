"""Vectors of precond_gated_delta_rule."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "HV": 2, "K": 16, "V": 16}
NORM = {"qk_l2norm": True}


def case(name, sizes=None, attrs=NORM, **rest):
    return Case("precond_gated_delta_rule", name, SIZES | (sizes or {}), attrs, **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0", "a0")),
    case("ragged", {"T": 67, "K": 20, "V": 36}, absent=("h0", "a0")),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", gate="slow", attrs=NORM | {"scale": 0.5}),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("grouped", {"T": 37, "HV": 4}),
    case("wide", {"T": 37}, attrs=NORM | {"x": 2.0, "eps": 0.0625}),
    case("unit-keys", {"T": 37}, attrs={}),
)

NAIVE_NOTE = (
    "naive_recurrent_precond_gated_delta_rule, which always normalises; without qk_l2norm it is "
    "naive_recurrent_precond_kda with equal gates of all channels"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {
    "chunk": ("d_q", "d_k", "d_v", "d_g_atk", "d_g", "d_beta_atk", "d_beta", "d_h0", "d_a0", "d_log_atk_scale"),
}
FINDINGS = {
    "packed-chunk-f32": "atk returns its state in the storage type, and adds in any order",
}


def naive(q, k, v, g_atk, g, beta_atk, beta, *, h0, a0, log_atk_scale, cu_seqlens, scale, qk_l2norm, x, eps):
    from fla.ops.precond_gated_delta_rule.naive import naive_recurrent_precond_gated_delta_rule
    from fla.ops.precond_kda.naive import naive_recurrent_precond_kda

    options = {
        "scale": scale,
        "initial_state": h0,
        "initial_A_state": a0,
        "output_final_state": True,
        "x": x,
        "eps": eps,
        "log_atk_scale": log_atk_scale,
    }
    if qk_l2norm:
        return naive_recurrent_precond_gated_delta_rule(
            q, k, v, g_atk, g, beta_atk, beta, cu_seqlens=cu_seqlens, **options
        )
    return naive_recurrent_precond_kda(q, k, v, g[..., None].expand_as(k), g_atk, beta_atk, beta, **options)
