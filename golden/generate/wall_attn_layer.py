"""Vectors of wall_attn_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "H": 2, "K": 8}


def case(name, sizes=None, **rest):
    return Case("wall_attn_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    # where T is no multiple of 32, gates that decay by more than 128 bits leave no gradients that are numbers
    case("plain", {"T": 64}),
    case("short", {"T": 21}, attrs={"use_scalar_gate": True}),
    case(
        "packed",
        lengths=(17, 1, 52),
        attrs={"qkv_bias": True, "qk_norm": True, "use_scalar_gate": True, "use_output_gate": True, "window_size": 20},
    ),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "plain-layer-f32": "past a decay of 110 bits within a block, tokens do not see themselves",
    "short-layer-f32": "d_g_proj.bias is the difference of large sums: 3e-6",
    "packed-layer-f32": "d_g_proj.bias is the difference of large sums: 1e-5",
}
