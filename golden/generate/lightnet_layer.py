"""Vectors of lightnet_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 8, "V": 12, "E": 4, "W": 1}
STATES = ("h0", "z0")


def case(name, sizes=None, **rest):
    return Case("lightnet_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("states"),
    case("packed", {"W": 4}, attrs={"use_short_conv": True}, lengths=(17, 1, 52), absent=STATES),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("states", "chunk"), ("packed", "fused_recurrent"))
# case, form, storage type
TRITON = ()
# what is known to be wrong, by file: the heading in FINDINGS.md
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "packed-fused_recurrent-f32": ROUNDED,
}
