"""Vectors of abc_layer."""

from vector import Case

SIZES = {"B": 2, "T": 70, "D": 24, "H": 2, "K": 8, "V": 12, "M": 8, "W": 1}
STATES = ("hk0", "hv0", "z0")
CLAMPED = {"clamp_min": -0.5, "clamp_max": 0.5}
CONVOLVED = CLAMPED | {"use_short_conv": True, "use_input_gate": True, "use_rope": False}


def case(name, sizes=None, **rest):
    return Case("abc_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("convolved", {"W": 4}, attrs=CONVOLVED, absent=STATES),
    case("bare", attrs={"use_output_gate": False, "use_norm": False}, absent=STATES),
)

# case, form
INTERPRETED = (("plain", "layer"), ("convolved", "layer"), ("bare", "layer"))
# case, form, storage type
TRITON = ()
# results that a form does not give: its last states are sums of e^s k and e^s v, which z would divide
WITHOUT = {"layer": ("hkt", "hvt", "zt")}
FINDINGS = {}
