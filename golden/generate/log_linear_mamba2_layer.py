"""Vectors of log_linear_mamba2_layer. fla asks for CUDA before its forward pass, not in it."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 24, "HV": 4, "H": 2, "K": 64, "V": 8, "L": 15, "W": 4}


def case(name, sizes=None, **rest):
    return Case("log_linear_mamba2_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain"),
    case("unnormed", {"B": 2, "T": 33, "HV": 2, "H": 1}, attrs={"rmsnorm": False, "D_has_hdim": True}),
    case("before", {"T": 130}, attrs={"norm_before_gate": True, "norm_eps": 0.25}),
)


def prepare():
    """Calls what a CUDA tensor would be given to."""
    from fla.layers import LogLinearMamba2

    def forward(self, hidden_states, use_cache=False, **_):
        return self.cuda_kernels_forward(hidden_states, None, use_cache, None)

    LogLinearMamba2.forward = forward


# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
