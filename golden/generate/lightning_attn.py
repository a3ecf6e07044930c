"""Vectors of lightning_attn."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "H": 4, "K": 16, "V": 16}


def case(name, sizes=None, layer=(11, 24), attrs=None, **rest):
    attrs = dict(zip(("layer_idx", "num_layers"), layer)) | (attrs or {})
    return Case("lightning_attn", name, SIZES | (sizes or {}), attrs=attrs, **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "H": 3, "K": 20, "V": 36}, absent=("h0",)),
    case("packed", {"T": 37}, lengths=(17, 0, 1, 19)),
    case("states", {"T": 37}, attrs={"scale": 0.5}),
    case("first-layer", {"T": 37, "H": 8}, layer=(0, 24)),
    case("last-layer", {"T": 37}, layer=(23, 24)),
    case("reverse", {"T": 37}, attrs={"reverse": True}, lengths=(30, 7)),
)

NAIVE_NOTE = (
    "fla has no PyTorch code for it: naive_recurrent_simple_gla with the decays of fused_recurrent_lightning_attn; "
    "packing and direction are written out around it"
)

# case, form, storage type
TRITON = (
    ("typical", "fused_recurrent", "BF16"),
    ("ragged", "fused_recurrent", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(q, k, v, *, h0, cu_seqlens, layer_idx, num_layers, scale, reverse):
    import torch
    from fla.ops.simple_gla.naive import naive_recurrent_simple_gla

    heads = q.shape[2]
    g_gamma = -8 / heads * (1 - layer_idx / num_layers) * torch.arange(heads)

    def recur(q, k, v, h0):
        g = g_gamma.expand(q.shape[:3])
        return naive_recurrent_simple_gla(q, k, v, g, scale=scale, initial_state=h0, output_final_state=True)

    return by_sequence(recur, (q, k, v), h0, cu_seqlens, reverse)
