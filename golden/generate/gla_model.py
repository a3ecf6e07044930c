"""Vectors of gla_model."""

from vector import Case

SIZES = {"B": 1, "T": 70, "S": 31, "D": 16, "I": 24, "HQ": 2, "H": 2, "K": 8, "V": 8, "E": 16, "W": 1}


def case(name, sizes=None, **rest):
    return Case("gla_model", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=("layers.0.h0", "layers.1.h0")),
    case("states", {"B": 2, "T": 17}),
    case("residuals", {"T": 20}, attrs={"attnres": True, "tie_word_embeddings": True}, absent=("layers.0.h0", "layers.1.h0")),
)

# case, form
INTERPRETED = (("plain", "chunk"), ("states", "chunk"))  # attention residuals ask for a GPU
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
