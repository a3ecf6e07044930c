"""Vectors of momentum_deltanet_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "HV": 2, "K": 8, "V": 12, "W": 4}
STATES = ("h0", "m0", "q_conv0", "k_conv0", "v_conv0")
BIASES = ("q_conv1d.bias", "k_conv1d.bias", "v_conv1d.bias")


def case(name, sizes=None, **rest):
    return Case("momentum_deltanet_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *BIASES)),
    case("states"),
    case("grouped", {"HV": 4}, attrs={"allow_neg_eigval": True, "use_p_times_alpha": False, "use_gate": False}),
    case(
        "unconvolved",
        {"W": 1},
        attrs={
            "use_short_conv": False,
            "qk_activation": "elu",
            "qk_norm": "sum",
            "tau_factor": 4,
            "min_log_mu": -0.25,
        },
    ),
    case("uncorrected", attrs={"use_output_correction": False}),
)

# case, form; with decays as strong as the other cases draw, the chunk form is not finite
INTERPRETED = (("unconvolved", "chunk"),)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {
    "unconvolved-chunk-f32": "chunk_momentum_delta_rule loses everything when momentum decays faster than the state",
}
