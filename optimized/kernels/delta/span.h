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
// how much is left of a map, by warp, and whether nothing is: it stays nothing
template <int M, int N, int W>
TILE_FN void measure(float (&left)[W], Acc<M, N, W>& map) {
    float share = 0;
    map.for_each([&](float& z, int, int) { share += z < 0 ? -z : z; });
    warp_sums<W>(left, share);
}
template <int W>
TILE_FN bool none(const float (&left)[W]) {
    float sum = 0;
    TILE_UNROLL
    for (int w = 0; w < W; w++) sum += left[w];
    return sum == 0;
}

}  // namespace delta
