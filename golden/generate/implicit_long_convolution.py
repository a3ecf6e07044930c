"""Vectors of implicit_long_convolution."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 12, "E": 3, "I": 16}


def case(name, sizes=None, **rest):
    return Case("implicit_long_convolution", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("short", {"B": 2, "T": 35, "E": 7}, attrs={"max_len": 128}),
)

# case, form
# errors of a Fourier transform are those of its largest element: at 70 tokens, d_x errs by 13.3 floors of 13.0
INTERPRETED = (("short", "module"),)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
