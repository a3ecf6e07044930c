"""Vectors of hgrn2_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 12, "V": 12, "W": 1}
STATES = ("h0",)


def case(name, sizes=None, **rest):
    return Case("hgrn2_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("h0", "lower_bound")),
    case("packed", lengths=(17, 1, 52)),
    case("convolved", {"W": 4}, attrs={"use_short_conv": True}),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"), ("convolved", "fused_recurrent"))
# case, form, storage type
TRITON = ()
# what is known to be wrong, by file: the heading in FINDINGS.md
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
# results that a form does not give
WITHOUT = {}
FINDINGS = {"convolved-fused_recurrent-f32": ROUNDED}
