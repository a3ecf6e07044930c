"""Vectors of atk."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16}


def case(name, sizes=None, **rest):
    return Case("atk", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("a0",)),
    case("ragged", {"T": 67, "K": 36}, absent=("a0",)),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", {"T": 37}, gate="slow"),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("wide", attrs={"x": 2.0, "eps": 0.0625}),
)

NAIVE_NOTE = (
    "atk has no naive code of its own: naive_recurrent_precond_kda with a state that forgets at once and a value of 1, "
    "read by one head for each channel"
)

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("wide", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(k, beta, g, *, a0, log_atk_scale, cu_seqlens, x, eps):
    import torch
    from fla.ops.precond_kda.naive import naive_recurrent_precond_kda

    heads, width = k.shape[2:]

    def recur(k, beta, g, a0):
        k, beta, g = (y.repeat_interleave(width, 2) for y in (k, beta, g))
        o, _, at = naive_recurrent_precond_kda(
            torch.eye(width).repeat(heads, 1).expand_as(k),
            k,
            torch.ones_like(k[..., :1]),
            torch.full_like(k, -torch.inf),
            g,
            beta,
            torch.ones_like(beta),
            scale=1.0,
            initial_A_state=None if a0 is None else a0.repeat_interleave(width, 1),
            output_final_state=True,
            x=x,
            eps=eps,
            log_atk_scale=log_atk_scale.repeat_interleave(width),
        )
        return o.unflatten(2, (heads, width)).squeeze(-1), at[:, ::width]

    return by_sequence(recur, (k, beta, g), a0, cu_seqlens)
