"""Vectors of short_convolution."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "W": 4}


def case(name, sizes=None, **rest):
    return Case("short_convolution", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", attrs={"swish": True}, absent=("bias", "residual", "x0")),
    case("states", {"B": 2, "T": 20}),
    case("packed", {"W": 3}, attrs={"swish": True}, lengths=(17, 1, 52), absent=("residual",)),
)

# case, form
INTERPRETED = (("plain", "module"), ("states", "module"), ("packed", "module"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
