// What the delta rules share: where the rows of a chunk are, and what a piece of a sequence belongs to.
#pragma once
#include "../tile/tile.h"

namespace delta {
using namespace tile;

template <bool B, class X, class Y>
struct Choose {
    using type = X;
};
template <class X, class Y>
struct Choose<false, X, Y> {
    using type = Y;
};

// the rows of one chunk
struct Span {
    long long row;
    int count;
};
template <int C>
TILE_FN Span span(const long long* offsets, int sequence, long long chunk_in_sequence) {
    const long long row = offsets[sequence] + chunk_in_sequence * C, left = offsets[sequence + 1] - row;
    return {row, left < C ? (int)left : C};
}

// what a forward pass leaves besides its outputs
enum Leaves { NOTHING, STATES, MAPS };

// the sequence that a piece belongs to, and whether it is the first, the last of it; where nothing is cut, itself
struct Owner {
    int sequence;
    bool begins, ends;
};
template <class Args>
TILE_FN Owner owner(const Args& a, int piece) {
    if (!a.owners) return {piece, true, true};
    const int n = a.owners[piece];
    return {n, a.firsts[n] == piece, a.firsts[n + 1] == piece + 1};
}
// whether anybody reads what a piece makes of no state, or its map: nothing goes on behind the last but what comes back
template <class Args>
TILE_FN bool wanted(const Args& a, int n, bool map) {
    const Owner piece = owner(a, n);
    if (piece.begins && piece.ends) return false;
    return map ? (!piece.begins || a.h0) && (!piece.ends || a.behind) : !piece.ends;
}
// How much is left of a map, by warp, after every fourth step, and whether nothing was, before step c: it stays nothing.
constexpr int MEASURED = 4;
template <int M, int N, int W>
TILE_FN void measure(float (&left)[2][W], Acc<M, N, W>& map, int c) {
    if (c % MEASURED != MEASURED - 1) return;
    float share = 0;
    map.for_each([&](float& z, int, int) { share += z < 0 ? -z : z; });
    warp_sums<W>(left[c / MEASURED % 2], share);
}
template <int W>
TILE_FN bool none(const float (&left)[2][W], int c) {
    if (c < MEASURED) return false;
    float sum = 0;
    TILE_UNROLL
    for (int w = 0; w < W; w++) sum += left[(c / MEASURED - 1) % 2][w];
    return sum == 0;
}
// a map, as it lies, for pieces.cu: what rounding leaves, then the rest; map is overwritten
template <int M, int N, int W>
TILE_FN void give(bf16* to, Acc<M, N, W>& map, int K) {
    store_global(to, K, 1, map, K, K);
    map.for_each([](float& z, int, int) { z -= to_float(round_to<bf16>(z)); });
    store_global(to + K * K, K, 1, map, K, K);
}

}  // namespace delta
