"""Vectors of grpo_clipped."""

from vector import Case

SIZES = {"B": 2, "T": 19, "G": 4}


def case(name, sizes=None, **rest):
    return Case("grpo_clipped", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("options", {"G": 6}, attrs={"beta": 0.75, "epsilon": 0.4}),
    case("packed", {"B": 1, "G": 2}, lengths=(7, 2, 10)),
)

# case, form
INTERPRETED = (
    ("plain", "module"),
    ("options", "module"),
    ("packed", "module"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
