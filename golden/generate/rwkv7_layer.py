"""Vectors of rwkv7_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 12, "V": 12, "E": 4, "I": 5, "R": 3, "M": 6}
STATES = ("h0", "x0")


def case(name, sizes=None, **rest):
    return Case("rwkv7_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("first", {"B": 2, "T": 33}, attrs={"first_layer": True}),
    case("packed", lengths=(17, 1, 52), attrs={"fuse_norm": True}),
)


def prepare():
    """fla's backward pass writes the gradient of x over x itself; here it gets memory of its own."""
    import importlib

    module = importlib.import_module("fla.ops.rwkv7.fused_addcmul")
    original = module.addcmul_bwd1
    if not hasattr(original, "apart"):
        module.addcmul_bwd1 = lambda *arguments: original(*arguments, inplace=False)
        module.addcmul_bwd1.apart = True


# case, form
INTERPRETED = tuple((c.name, "chunk") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = dict.fromkeys(
    ("plain-chunk-f32", "first-chunk-f32", "packed-chunk-f32"), "chunk_rwkv7 inverts in float16 whatever the type"
)
