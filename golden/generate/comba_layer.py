"""Vectors of comba_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "HV": 2, "K": 8, "V": 12, "W": 4}
STATES = ("h0", "q_conv0", "k_conv0", "v_conv0")
BIASES = ("q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias")


def case(name, sizes=None, **rest):
    return Case("comba_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *BIASES)),
    case("packed", lengths=(17, 1, 52)),
    case("grouped", {"HV": 4}, attrs={"use_output_correction": False, "use_output_gate": False}),
    case("unconvolved", {"W": 1}, attrs={"use_short_conv": False, "use_inner_decay": False}),
)

# case, form
INTERPRETED = (
    ("plain", "chunk"),
    ("packed", "chunk"),
    ("unconvolved", "chunk"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
# "grouped" makes no vector: without an output correction upstream's gradient of `decay` is what its norm cancels to
ROUNDED = "layers lose digits of f32 in the gradients of their gates"
FINDINGS = {"packed-chunk-f32": ROUNDED, "unconvolved-chunk-f32": ROUNDED}
