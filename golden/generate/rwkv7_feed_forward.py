"""Vectors of rwkv7_feed_forward."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "I": 20}


def case(name, sizes=None, **rest):
    return Case("rwkv7_feed_forward", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("x0",)),
    case("resumed", {"B": 2, "T": 33}, attrs={"hidden_act": "swish"}),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
