"""Vectors of rwkv7_model."""

from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 16, "I": 24, "H": 2, "K": 8, "V": 8, "E": 3, "G": 4, "R": 3, "M": 5}
STATES = tuple(f"layers.{i}.{name}" for i in (0, 1) for name in ("h0", "x0", "ffn.x0"))


def case(name, sizes=None, **rest):
    return Case("rwkv7_model", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("states", {"B": 2, "T": 17}),
    case("options", {"T": 17}, attrs={"norm_first": False, "fuse_norm": False, "tie_word_embeddings": True}),
)

# case, form
INTERPRETED = (("plain", "layer"), ("states", "layer"), ("options", "layer"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def prepare():
    """fla's backward pass writes the gradient of x over x itself; here it gets memory of its own."""
    from rwkv7_layer import prepare as apart

    apart()
