"""Vectors of delta_net_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 8, "V": 12, "W": 4}
STATES = ("h0", "q_conv0", "k_conv0", "v_conv0")
BIASES = ("q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias")


def case(name, sizes=None, **rest):
    return Case("delta_net_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *BIASES)),
    case("packed", lengths=(17, 1, 52)),
    case("gated", attrs={"use_gate": True, "qk_activation": "elu", "qk_norm": "sum", "allow_neg_eigval": True}),
    case("short", {"T": 30}, attrs={"use_beta": False, "qk_activation": "relu"}),
    case("unconvolved", {"W": 1}, attrs={"use_short_conv": False, "qk_activation": "identity"}),
)

# case, form
INTERPRETED = (
    ("plain", "chunk"),
    ("packed", "chunk"),
    ("gated", "chunk"),
    ("short", "chunk"),
    ("unconvolved", "chunk"),
    ("packed", "fused_recurrent"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
