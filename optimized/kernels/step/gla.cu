// A step of gla: a decay for each channel of the keys, and of the values. See walk.h.
// workspace: none; a packed call's offsets are a table of N + 1 numbers of 64 bits.
#include "walk.h"

template <class T, int C, int K, int V>
struct GlaStep : step::Walk<T, T, K, V, step::Rule<true, true, false, false>> {};
