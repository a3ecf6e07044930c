// What the delta rules share: where the rows of a chunk are.
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

}  // namespace delta
