"""Vectors of hgrn."""

from vector import Case, by_sequence

SIZES = {"B": 1, "T": 70, "D": 60}


def case(name, sizes=None, **rest):
    return Case("hgrn", name, SIZES | (sizes or {}), **rest)


CASES = (
    case("typical", {"B": 2, "T": 64, "D": 32}, absent=("h0",)),
    case("ragged", {"T": 131}, absent=("h0",)),
    case("packed", lengths=(17, 0, 1, 52)),
    case("states", {"B": 2, "D": 33}, gate="slow"),
    case("hard-gates", gate="hard"),
    case("one-token", {"B": 3, "T": 1}),
)

NAIVE_NOTE = "packing is written out around naive_recurrent_hgrn"

# case, form, storage type
TRITON = (
    ("typical", "fused_recurrent", "BF16"),
    ("ragged", "fused_recurrent", "F32"),
    ("packed", "fused_recurrent", "F32"),
    ("states", "fused_recurrent", "F16"),
    ("hard-gates", "fused_recurrent", "BF16"),
    ("typical", "chunk", "F32"),
    ("ragged", "chunk", "BF16"),
)
WITHOUT = {}
ROUNDED = "fused_recurrent_hgrn returns its final state in the storage type"
# what is known to be wrong, by file: the heading in FINDINGS.md
FINDINGS = {
    "typical-chunk-f32": "chunk_hgrn drops d_ht",
    "ragged-chunk-bf16": "chunk_hgrn drops d_ht",
    "typical-fused_recurrent-bf16": ROUNDED,
    "states-fused_recurrent-f16": ROUNDED,
    "hard-gates-fused_recurrent-bf16": ROUNDED,
}


def naive(x, g, *, h0, cu_seqlens):
    from fla.ops.hgrn.naive import naive_recurrent_hgrn

    def recur(x, g, h0):
        return naive_recurrent_hgrn(x, g, initial_state=h0, output_final_state=True)

    return by_sequence(recur, (x, g), h0, cu_seqlens)
