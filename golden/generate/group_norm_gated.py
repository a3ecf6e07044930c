"""Vectors of group_norm_gated."""

from vector import Case

SIZES = {"B": 2, "T": 35, "D": 24}


def case(name, sizes=None, **rest):
    return Case("group_norm_gated", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("bias",)),
    case("groups", attrs={"num_groups": 4, "norm_before_gate": True}, absent=("bias",)),
    case("layer", attrs={"rms": False, "num_groups": 2, "eps": 0.25}),
    case("ungated", attrs={"gated": False}, absent=("bias",)),
)

# case, form
INTERPRETED = (("plain", "module"), ("groups", "module"), ("layer", "module"), ("ungated", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
