"""Vectors of moba_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "H": 4, "K": 8}


def case(name, sizes=None, **rest):
    return Case("moba_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", attrs={"moba_chunk_size": 8, "moba_topk": 3}),
    case(
        "packed",
        lengths=(17, 1, 52),
        attrs={"qkv_bias": True, "qk_norm": True, "use_output_gate": True, "moba_chunk_size": 8, "moba_topk": 2},
    ),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
