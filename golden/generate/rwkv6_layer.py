"""Vectors of rwkv6_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 8, "V": 12, "E": 4, "I": 5, "L": 5}
STATES = ("h0", "x0")


def case(name, sizes=None, **rest):
    return Case("rwkv6_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("resumed", {"B": 2}),
    case("packed", lengths=(17, 1, 52), attrs={"gate_fn": "sigmoid", "norm_eps": 0.25}, absent=STATES),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("resumed", "chunk"), ("packed", "fused_recurrent"))
# case, form, storage type
TRITON = ()
# results that a form does not give: the recurrent kernel drops d_ht, and of a packed row only the last token is kept
WITHOUT = {"fused_recurrent": ("ht", "xt")}
FINDINGS = {}
