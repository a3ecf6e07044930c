"""Vectors of mamba_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "I": 20, "K": 8, "E": 4, "W": 4}
STATES = ("h0", "conv0")
UNBIASED = ("in_proj.bias[x]", "in_proj.bias[z]", "out_proj.bias")


def case(name, sizes=None, **rest):
    return Case("mamba_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=(*STATES, *UNBIASED)),
    case("biased", {"B": 2, "T": 33}, attrs={"hidden_act": "relu"}, absent=STATES),
    # fla decodes one token at a time
    case("decoding", {"B": 3, "T": 1}, absent=UNBIASED),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
