// A step of simple_gla and its kin: one decay for each head, of its token, of the head alone, or none. See walk.h.
// workspace: none; a packed call's offsets are a table of N + 1 numbers of 64 bits.
#include "walk.h"

template <class T, int C, int K, int V>
struct SimpleGlaStep : step::Walk<T, float, K, V, step::Rule<false, false, false, false>> {};

// and of its sum of weights: normalized_linear_attn
template <class T, int C, int K, int V>
struct NormalizedStep : step::Walk<T, float, K, V, step::Rule<false, false, false, true>> {};
