"""Vectors of path_attn_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "H": 2, "K": 8, "E": 32, "W": 3}


def case(name, sizes=None, **rest):
    return Case("path_attn_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case(
        "packed",
        {"E": 1},
        lengths=(17, 1, 52),
        attrs={"use_forget_gate": True, "use_qk_norm": True, "use_low_rank_w": False},
    ),
    case("unconvolved", {"W": 1}, attrs={"use_w_shortconv": False}),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
ROUNDED = "transitions are rounded to float16 for the tokens past the first chunk, whatever the inputs are"
FINDINGS = {"plain-layer-f32": ROUNDED, "unconvolved-layer-f32": ROUNDED}
