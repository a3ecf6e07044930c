"""Vectors of fused_linear_cross_entropy."""

from vector import Case

SIZES = {"B": 1, "T": 35, "D": 16, "S": 100}
PULLED = {"use_l2warp": True, "l2_penalty_factor": 0.5}


def case(name, sizes=None, **rest):
    return Case("fused_linear_cross_entropy", name, SIZES | (sizes or {}), **rest)


CASES = (
    # five chunks of tokens, the last of them ragged
    case("plain"),
    case("options", attrs={"reduction": "sum", "label_smoothing": 0.125, "logit_scale": 0.375}),
    case("pulled", {"B": 2, "T": 9, "S": 20}, attrs=PULLED | {"logit_scale": 0.375}),
    # the first sequence has no target
    case("packed", lengths=(1, 20, 14), attrs=PULLED),
    case("bare", {"T": 24, "D": 40, "S": 33}, absent=("bias",)),
    case("capped", attrs={"logit_scale": 2.5, "logit_softcapping": 1.5, "label_smoothing": 0.125}),
)

# case, form
INTERPRETED = (
    ("plain", "module"),
    ("options", "module"),
    ("pulled", "module"),
    ("packed", "module"),
    ("bare", "module"),
    ("capped", "module"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
