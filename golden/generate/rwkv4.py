"""Vectors of rwkv4, which has a kernel alone."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24}


def case(name, sizes=None, **rest):
    return Case("rwkv4", name, SIZES | (sizes or {}), absent=rest.pop("absent", ("alpha0", "beta0", "eps0")), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}),
    case("ragged", {"T": 67, "D": 33}),
    case("states", {"B": 2, "T": 33}, absent=()),
    case("one-token", {"B": 3, "T": 1}, absent=()),
)

# case, form
INTERPRETED = tuple((c.name, "fused_recurrent") for c in CASES)
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
