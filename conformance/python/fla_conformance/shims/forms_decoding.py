"""Forms that ask fla's functions for one new token, token after token."""

from fla_conformance.shims import adapt
from fla_conformance.shims.forms import Form

_HERE = "fla_conformance.shims.decoding"


def _windowed(function, **rest):
    return Form(_HERE, function, names={"window": "window_size"}, adapt=adapt.whole_window, outputs=("o",), **rest)


def _mesa_net(function, **rest):
    names = {"h_kk0": "h_kk_init", "h0": "h_kv_init"}
    return Form(_HERE, function, names=names, outputs=("o", "h_kkt", "ht"), **rest)


FORMS = {
    "attn": {
        "decode": _windowed("decode_attn", forward_only=True),
        "naive_decode": _windowed("naive_decode_attn"),
    },
    "mesa_net": {
        "decode": _mesa_net("decode_mesa_net", forward_only=True),
        "naive_decode": _mesa_net("naive_decode_mesa_net"),
    },
    "parallax": {
        "decode": _windowed("decode_parallax", forward_only=True),
        "prefill": _windowed("prefill_parallax", forward_only=True),
    },
    "wall_attn": {"decode": _windowed("decode_wall_attn", forward_only=True)},
}
