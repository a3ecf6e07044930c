// What the delta rules share: where the rows of a chunk are, and what is known of maps.
#pragma once
#include "../chunk/part.h"

namespace delta {
using namespace tile;
using sequence::Part;
using sequence::part;

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

// Whether anybody reads what a piece makes of no state, or its map: nothing goes on behind the last but what comes back,
// and nobody asks where the gates leave nothing. Where nothing comes back at all, windows_back are windows.
template <class Args>
TILE_FN bool wanted(const Args& a, int piece, int hv, bool map) {
    const sequence::Siblings all(a, piece);
    if (all.lead == all.last) return false;
    const bool ahead = piece != all.last && !(a.windows && all.forget(a.windows, a.HV, hv));
    if (!map) return ahead;
    const bool back = piece != all.lead && !(a.windows_back && all.forget(a.windows_back, a.HV, hv));
    return (ahead && (piece != all.lead || a.h0)) || (back && (piece != all.last || a.behind));
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
