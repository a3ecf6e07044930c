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
    from fla.layers import LogLinearMamba2, log_linear_mamba2

    def forward(self, hidden_states, past_key_values=None, use_cache=False, **_):
        last = log_linear_mamba2.get_layer_cache(self, past_key_values)
        o, conv, state = self.cuda_kernels_forward(hidden_states, last, use_cache, None)
        kept = {"recurrent_state": state, "conv_state": conv, "offset": hidden_states.shape[1]}
        log_linear_mamba2.update_layer_cache(self, past_key_values, **kept)
        return o, None, past_key_values

    LogLinearMamba2.forward = forward


# case, form
INTERPRETED = tuple((c.name, "layer") for c in CASES)
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {}
FINDINGS = {}
