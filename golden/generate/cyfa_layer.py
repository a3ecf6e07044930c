"""Vectors of cyfa_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "H": 2, "K": 16, "V": 16, "C": 15, "M": 16, "W": 4}
MEMORIES = ("hk0", "hv0", "lambda0")
STATES = (*MEMORIES, "q_conv0", "k_conv0", "v_conv0")


def case(name, sizes=None, **rest):
    return Case("cyfa_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", absent=STATES),
    case("packed", lengths=(17, 1, 52)),
    case("unconvolved", {"B": 2, "T": 33, "W": 1}, attrs={"use_short_conv": False, "norm_eps": 0.25}),
)


def prepare():
    """fla's kernels ask for CUDA; the interpreter needs none."""
    import sys

    from fla.ops.cyfa.utils import validate_cyfa_inputs

    def validate(*arguments, require_cuda=False, **rest):
        return validate_cyfa_inputs(*arguments, **rest)

    for name, module in list(sys.modules.items()):
        if name.startswith("fla.ops.cyfa") and hasattr(module, "validate_cyfa_inputs"):
            module.validate_cyfa_inputs = validate


# case, form
INTERPRETED = tuple((c.name, "chunk") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {"unconvolved-chunk-f32": "layers lose digits of f32 in the gradients of their gates"}
