"""Vectors of grpo."""

from vector import Case

SIZES = {"B": 2, "T": 19, "S": 37}


def case(name, sizes=None, **rest):
    return Case("grpo", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("options", attrs={"beta": 0.75, "save_kl": True}),
    case("packed", {"B": 1, "S": 100}, lengths=(7, 2, 10), attrs={"save_kl": True}),
)

# case, form
INTERPRETED = (
    ("plain", "module"),
    ("options", "module"),
    ("packed", "module"),
    ("options", "torch"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
