"""Vectors of cross_entropy."""

from vector import Case

SIZES = {"B": 2, "T": 19, "S": 37}
SMOOTHED = {"label_smoothing": 0.125}


def case(name, sizes=None, **rest):
    return Case("cross_entropy", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("options", attrs=SMOOTHED | {"logit_scale": 0.375, "lse_square_scale": 0.25, "return_z_loss": True}),
    case("square", {"T": 8, "S": 64}, attrs={"logit_scale": 2.5, "lse_square_scale": 0.25}),
    case("packed", {"B": 1}, lengths=(7, 1, 11), attrs={"label_smoothing": 0.5}),
    case("capped", {"S": 50}, attrs=SMOOTHED | {"logit_scale": 2.5, "logit_softcapping": 1.5}),
)

# case, form
INTERPRETED = (
    ("plain", "module"),
    ("options", "module"),
    ("square", "module"),
    ("packed", "module"),
    ("capped", "module"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {"capped-module-f32": "Slopes made of one minus a value"}
