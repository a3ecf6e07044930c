"""Vectors of cyfa."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 16, "V": 16, "C": 7, "M": 8}
STATES = ("hk0", "hv0", "lambda0")


def case(name, sizes=None, **rest):
    return Case("cyfa", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=STATES),
    case("ragged", {"T": 67, "K": 20, "V": 36, "C": 5, "M": 6}, absent=STATES),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", {"T": 37}, gate="slow", attrs={"scale": 0.5, "q_norm_eps": 0.25, "k_norm_eps": 0.125}),
    case("hard-gates", {"T": 37}, gate="hard"),
    # as many coordinates as fla's kernels take
    case("wide", {"T": 40, "C": 15, "M": 16}),
)

NAIVE_NOTE = "naive_recurrent_cyfa; packing is written out around it, as it cannot take a sequence without tokens"

# case, form, storage type
TRITON = (
    ("wide", "chunk", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, g, delta, beta, readout, q_norm_weight, k_norm_weight, *, scale, q_norm_eps, k_norm_eps, **rest):
    import torch
    from fla.ops.cyfa import naive_recurrent_cyfa

    norms = {"q_norm_weight": q_norm_weight, "k_norm_weight": k_norm_weight}
    norms |= {"q_norm_eps": q_norm_eps, "k_norm_eps": k_norm_eps}
    fixed = norms | {"readout": readout, "scale": scale, "output_final_state": True}

    def run(tensors, states):
        if tensors[0].shape[1] == 0:
            return tensors[2], *states
        o, last = naive_recurrent_cyfa(*tensors, initial_state=states, **fixed)
        return o, *last

    tensors, states = (q, k, v, g, delta, beta), [rest.get(name) for name in STATES]
    if rest.get("cu_seqlens") is None:
        return run(tensors, None if states[0] is None else states)
    bounds = rest["cu_seqlens"].tolist()
    spans = zip(bounds, bounds[1:], *(state.split(1) for state in states))
    o, *states = zip(*(run([x[:, a:b] for x in tensors], states) for a, b, *states in spans))
    return torch.cat(o, 1), *(torch.cat(x) for x in states)
