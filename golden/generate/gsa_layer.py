"""Vectors of gsa_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HQ": 2, "H": 2, "K": 8, "V": 12, "M": 8, "W": 1}
STATES = ("hk0", "hv0")
CONVOLVED = {"use_short_conv": True, "feature_map": "relu", "gate_logit_normalizer": 2, "scale": 0.375}


def case(name, sizes=None, **rest):
    return Case("gsa_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", {"H": 1}, lengths=(17, 1, 52)),
    case("convolved", {"W": 4, "M": 5}, attrs=CONVOLVED),
    case("t2r", attrs={"t2r": True}),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"), ("convolved", "fused_recurrent"), ("t2r", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
