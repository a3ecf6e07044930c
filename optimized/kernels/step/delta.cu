// A step of the delta rules, with all that a prologue does to their inputs: delta_rule and gated_delta_rule have one
// decay for each head or none, kda one for each channel of the keys. See walk.h.
// workspace: none; a packed call's offsets are a table of N + 1 numbers of 64 bits.
#include "walk.h"
#include "../delta/prologue.cu"

namespace step {
template <bool CHANNELS>
struct Delta : Rule<CHANNELS, false, true, false> {
    static TILE_FN float softplus(float x) { return prologue::softplus(x); }
    static TILE_FN float sigmoid(float x) { return prologue::sigmoid(x); }
};
}  // namespace step

template <class T, int C, int K, int V>
struct GatedDeltaStep : step::Walk<T, float, K, V, step::Delta<false>> {};
template <class T, int C, int K, int V>
struct KdaStep : step::Walk<T, float, K, V, step::Delta<true>> {};
