"""Vectors of l2warp."""

from vector import Case

SIZES = {"B": 2, "T": 9, "S": 21}


def case(name, sizes=None, **rest):
    return Case("l2warp", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("strong", {"S": 64}, attrs={"l2_penalty_factor": 0.5}),
    case("packed", {"B": 1, "T": 35}, lengths=(20, 1, 14), attrs={"l2_penalty_factor": 0.5}),
)

# case, form
INTERPRETED = (
    ("plain", "module"),
    ("strong", "module"),
    ("packed", "module"),
)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
