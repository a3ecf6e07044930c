"""Vectors of rodimus_model@rodimus."""

from models import decoded
from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 16, "V": 32, "M": 8, "E": 4, "W": 4}
STATES = tuple(f"layers.{i}.{name}" for i in (0, 1) for name in ("h0", "conv0"))


def case(name, sizes=None, **rest):
    return Case("rodimus_model@rodimus", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("alone", absent=STATES),
    case("states", {"B": 2, "T": 17}),
    decoded(case("decode", absent=STATES)),
)

# case, form
INTERPRETED = (("alone", "chunk"), ("states", "chunk"), ("decode", "chunk"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
