"""Vectors of rwkv7_channel_mixing."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "D": 16, "K": 36}


def case(name, sizes=None, **rest):
    return Case("rwkv7_channel_mixing", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64}, absent=("h0",)),
    case("ragged", {"T": 67, "D": 9, "K": 33}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"B": 2}),
    case("one-token", {"B": 3, "T": 1}),
)

NAIVE_NOTE = "packing and the last token are written out around channel_mixing_rwkv7_torch"

# case, form, storage type
TRITON = (
    ("typical", "parallel", "BF16"),
    ("states", "parallel", "F32"),
)
# results that a form does not give
WITHOUT = {}
FINDINGS = {}


def naive(x, x_k, key_weight, value_weight, *, h0, cu_seqlens):
    from fla.ops.rwkv7.channel_mixing import channel_mixing_rwkv7_torch

    def mix(x, h0):
        h0 = x.new_zeros(x.shape[0], x.shape[2]) if h0 is None else h0
        if not x.shape[1]:
            return x, h0
        return channel_mixing_rwkv7_torch(x, h0, x_k, key_weight, value_weight)[0], x[:, -1]

    return by_sequence(mix, (x,), h0, cu_seqlens)
