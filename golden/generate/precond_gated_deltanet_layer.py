"""Vectors of precond_gated_deltanet_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "HV": 2, "K": 8, "V": 12, "W": 4}
STATES = ("h0", "a0", "q_conv0", "k_conv0", "v_conv0")
BIASES = ("q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias")


def case(name, sizes=None, **rest):
    return Case("precond_gated_deltanet_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *BIASES)),
    case("packed", lengths=(17, 1, 52)),
    case("grouped", {"HV": 4}, attrs={"allow_neg_eigval": True, "squash_x": 2}),
    case("unconvolved", {"W": 1}, attrs={"use_short_conv": False, "use_gate": False, "squash_eps": 0.0625}),
)

# case, form
INTERPRETED = tuple((c.name, "chunk") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
SUMS = "decays of the preconditioner are exponentials of differences of sums: its last states are off by 1e-5"
FINDINGS = {"packed-chunk-f32": SUMS}
