"""Vectors of rotary."""

from vector import Case

SIZES = {"B": 1, "T": 70, "H": 2, "K": 12}


def case(name, sizes=None, **rest):
    return Case("rotary", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("interleaved", {"K": 8}, attrs={"interleaved": True, "offset": 3.0, "base": 100.0}),
    case("packed", lengths=(17, 1, 52)),
    case("partial", {"T": 35}, attrs={"dim": 8.0}),
)

# case, form
INTERPRETED = (("plain", "module"), ("interleaved", "module"), ("packed", "module"), ("partial", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
