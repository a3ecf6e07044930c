"""Vectors of rodimus_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 12, "I": 24, "K": 8, "E": 4, "W": 4}
STATES = ("h0", "conv0")


def case(name, sizes=None, **rest):
    return Case("rodimus_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", lengths=(17, 1, 52)),
    case("unconvolved", {"B": 2, "T": 33, "W": 1}, attrs={"use_short_conv": False, "k_norm_eps": 2, "norm_eps": 0.25}),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"), ("unconvolved", "fused_recurrent"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
FINDINGS = {"unconvolved-fused_recurrent-f32": ROUNDED}
