"""Vectors of mesa_net_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 16, "W": 4}
STATES = ("h_kk0", "h0", "q_conv0", "k_conv0")
BIASES = ("q_conv1d.bias", "k_conv1d.bias")


def case(name, sizes=None, **rest):
    return Case("mesa_net_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *BIASES)),
    case("packed", lengths=(17, 1, 52)),
    case("gated", attrs={"use_output_gate": True, "lambda_lower_bound": 0.75}),
)

# case, form
INTERPRETED = tuple((c.name, "chunk") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = dict.fromkeys(
    ("plain-chunk-f32", "packed-chunk-f32", "gated-chunk-f32"),
    "chunk_mesa_net rounds queries and keys to float16, and its solver stops at residuals of 1e-5",
)
