"""Vectors of yoco_gated_retention_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 12}
STATES = ("h0",)


def case(name, sizes=None, **rest):
    return Case("yoco_gated_retention_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", attrs={"rope_inv_freq": "yoco", "rope_theta": 100, "gate_logit_normalizer": 2}, lengths=(17, 1, 52)),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("packed", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
