"""Vectors of parallax_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "H": 2, "K": 8}
NOTE = "without the check that inputs are 16-bit"


def case(name, sizes=None, **rest):
    return Case("parallax_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", note=NOTE),
    case(
        "packed",
        lengths=(17, 1, 52),
        attrs={"qkv_bias": True, "qk_norm": True, "window_size": 20, "rope_theta": 100},
        note=NOTE,
    ),
)

# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def prepare():
    """Leaves out a check of the storage type: the interpreter computes in f32 what the kernel does not."""
    from fla.layers import parallax
    from fla.ops.parallax.parallel import ParallaxFunction

    def parallel(q, r, k, v, window_size=None, cu_seqlens=None):
        window = -1 if window_size is None else window_size
        return ParallaxFunction.apply(q, r, k, v, k.shape[-1] ** -0.5, window, cu_seqlens)

    parallax.parallel_parallax = parallel
