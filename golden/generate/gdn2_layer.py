"""Vectors of gdn2_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "HV": 2, "K": 8, "V": 12, "W": 4}
STATES = ("h0", "q_conv0", "k_conv0", "v_conv0")
BIASES = ("q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias")


def case(name, sizes=None, **rest):
    return Case("gdn2_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *BIASES)),
    case("packed", lengths=(17, 1, 52)),
    case("grouped", {"HV": 4}, attrs={"allow_neg_eigval": True}),
    case("unconvolved", {"W": 1}, attrs={"use_short_conv": False, "norm_eps": 0.25}),
)

# case, form
INTERPRETED = (
    ("plain", "chunk"),
    ("packed", "chunk"),
    ("grouped", "chunk"),
    ("unconvolved", "chunk"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
FINDINGS = {"grouped-chunk-f32": ROUNDED}
