"""Vectors of rwkv7_model."""

from fla_conformance.ports import SPECS
from models import decoded
from vector import Case

SIZES = {"B": 1, "T": 80, "S": 31, "D": 16, "I": 24, "H": 2, "K": 8, "V": 8, "E": 3, "G": 4, "R": 3, "M": 5}
STATES = tuple(f"layers.{i}.{name}" for i in (0, 1) for name in ("h0", "x0", "ffn.x0"))
NOTE = "the recurrent kernel, which has no gradients, in the place of the chunked one, which is off by 1e-4 in f32"


def case(name, sizes=None, **rest):
    return Case("rwkv7_model", name, SIZES | (sizes or {}), note=NOTE, **rest)


CASES = (
    case("plain", absent=STATES),
    case("states", {"B": 2, "T": 17}),
    case("options", {"T": 17}, attrs={"norm_first": False, "fuse_norm": False, "tie_word_embeddings": True}),
    decoded(case("decode", absent=STATES)),
)

# case, form
INTERPRETED = (("plain", "layer"), ("states", "layer"), ("options", "layer"), ("decode", "layer"))
# case, form, storage type
TRITON = ()
# results that a form does not give
WITHOUT = {"layer": tuple(f"d_{p.name}" for p in SPECS["rwkv7_model"].inputs)}
FINDINGS = {}


def prepare():
    """Puts the recurrent kernel in the place of the chunked one."""
    from fla.layers import rwkv7
    from fla.ops.rwkv7 import fused_recurrent_rwkv7

    def recurrent(safe_gate, lower_bound, chunk_size, **arguments):
        return fused_recurrent_rwkv7(**arguments)

    rwkv7.chunk_rwkv7 = recurrent
