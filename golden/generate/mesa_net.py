"""Vectors of mesa_net."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16}
L2_EPSILON = 1e-6


def case(name, sizes=None, **rest):
    return Case("mesa_net", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h_kk0", "h0")),
    case("ragged", {"T": 67, "K": 20, "V": 20}, absent=("h_kk0", "h0")),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"T": 37}, gate="slow"),
    case("hard-gates", {"T": 37}, gate="hard"),
    case("norm", {"T": 37}, attrs={"qk_l2norm": True}),
)

NAIVE_NOTE = "packing and the norm are written out around naive_mesa_net_exact, which takes V = K alone"

# case, form, storage type
TRITON = (
    ("typical", "chunk", "BF16"),
    ("packed", "chunk", "F32"),
)
# case, form
INTERPRETED = (("states", "decode"),)
# results that a form does not give
WITHOUT = {"decode": ("d_q", "d_k", "d_v", "d_g", "d_beta", "d_lamb", "d_h_kk0", "d_h0")}
FINDINGS = {
    "packed-chunk-f32": "f32 is multiplied in TF32 on Hopper",
    "states-decode-f32": "chunk_mesa_net works in float16, and its solver stops early",
}


def naive(q, k, v, g, beta, lamb, *, h_kk0, h0, cu_seqlens, qk_l2norm):
    import torch
    from fla.ops.mesa_net.naive import naive_mesa_net_exact

    if qk_l2norm:
        q, k = (x / (x.square().sum(-1, keepdim=True) + L2_EPSILON).sqrt() for x in (q, k))

    def recur(q, k, v, g, beta, states):
        h_kk0, h0 = (None, None) if states is None else states.chunk(2, -1)
        o, *states = naive_mesa_net_exact(q, k, v, g, lamb, beta, h_kk_init=h_kk0, h_kv_init=h0)
        return o, torch.cat(states, -1)

    # both states side by side
    states = None if h0 is None else torch.cat([h_kk0, h0], -1)
    o, states = by_sequence(recur, (q, k, v, g, beta), states, cu_seqlens)
    return o, *states.chunk(2, -1)
