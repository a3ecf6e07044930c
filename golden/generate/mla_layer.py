"""Vectors of mla_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 12, "V": 8, "R": 4, "C": 16, "E": 10, "I": 6}


def case(name, sizes=None, **rest):
    return Case("mla_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("packed", {"E": 1}, lengths=(17, 0, 1, 52), attrs={"q_lora": False, "window_size": 20, "rope_theta": 100}),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
