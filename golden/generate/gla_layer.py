"""Vectors of gla_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HQ": 2, "H": 2, "K": 8, "V": 12, "E": 4, "W": 1}
STATES = ("h0",)


def case(name, sizes=None, **rest):
    return Case("gla_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", lengths=(17, 1, 52)),
    case("convolved", {"HQ": 4, "W": 4}, attrs={"use_short_conv": True, "feature_map": "relu"}),
    case("ungated", attrs={"use_output_gate": False, "clamp_min": -0.05, "gate_logit_normalizer": 2}),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"), ("convolved", "fused_recurrent"), ("ungated", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
