"""Vectors of stickbreaking_attn_layer."""

from vector import Case

SIZES = {"B": 1, "T": 70, "D": 32, "HQ": 4, "H": 2, "K": 8}
NOTE = "without the checks that inputs are 16-bit and on a GPU"


def case(name, sizes=None, **rest):
    return Case("stickbreaking_attn_layer", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("plain", note=NOTE),
    case(
        "packed",
        lengths=(17, 1, 52),
        attrs={"qkv_bias": True, "qk_norm": True, "attend_current": True},
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
    """Leaves out checks of device and storage type: the interpreter computes on a CPU, in f32."""
    from types import SimpleNamespace

    import torch
    from fla.layers import stickbreaking_attn

    class Elsewhere(torch.Tensor):
        device = SimpleNamespace(type="cuda")
        __torch_function__ = torch._C._disabled_torch_function_impl

    forward = stickbreaking_attn.StickBreakingAttention.forward
    stickbreaking_attn.torch = SimpleNamespace(float16=torch.float32, bfloat16=torch.float32)
    stickbreaking_attn.StickBreakingAttention.forward = lambda self, hidden_states, *rest, **more: forward(
        self, hidden_states.as_subclass(Elsewhere), *rest, **more
    )
