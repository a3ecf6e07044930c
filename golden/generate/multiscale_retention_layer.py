"""Vectors of multiscale_retention_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HQ": 2, "H": 2, "K": 8, "V": 12, "W": 1}
STATES = ("h0",)


def case(name, sizes=None, **rest):
    return Case("multiscale_retention_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", {"HQ": 4}, lengths=(17, 1, 52)),
    case("convolved", {"W": 4}, attrs={"use_short_conv": True, "feature_map": "relu"}),
    case("ungated", attrs={"use_output_gate": False, "norm_eps": 0.25}),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"), ("convolved", "chunk"), ("ungated", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
