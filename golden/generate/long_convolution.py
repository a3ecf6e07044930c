"""Vectors of long_convolution."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 12, "L": 70}


def case(name, sizes=None, **rest):
    return Case("long_convolution", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("k_rev",)),
    case("short", {"B": 2, "L": 20}, absent=("k_rev",)),
    case("both-ways"),
    case("long", {"T": 20, "L": 40}, absent=("k_rev",)),
)

# case, form
# errors of a Fourier transform are those of its largest element, so that sums of a few taps miss their floor, which is
# smaller: of the other two, d_x errs by 16 and 30 floors of 13 at its worst, relative to all of it by 2e-7
INTERPRETED = (("both-ways", "function"), ("long", "function"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {"long-function-f32": "taps beyond the sequence wrap around: a token sees later ones"}
