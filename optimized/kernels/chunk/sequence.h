// Where a chunk's tokens lie: rows [B T, H, width], forwards or backwards.
#pragma once
#include "../tile/tile.h"

namespace sequence {
using namespace tile;

// one sequence in the order of its recurrence: token t is row first + t step
struct Sequence {
    long long first;
    int step, length;

    TILE_FN Sequence(const long long* offsets, int n, int reverse)
        : first(reverse ? offsets[n + 1] - 1 : offsets[n]),
          step(reverse ? -1 : 1),
          length((int)(offsets[n + 1] - offsets[n])) {}
    TILE_FN long long row(int token) const { return first + static_cast<long long>(token) * step; }
};

// the rows of one head in [rows, H, width], from a token on
template <class T>
struct Rows {
    T* ptr;
    long long ld;

    TILE_FN Rows(T* base, const Sequence& seq, int token, int H, int h, int width, int column = 0)
        : ptr(base + ((seq.row(token) * H + h) * width + column)), ld(static_cast<long long>(seq.step * H) * width) {}
};

}  // namespace sequence
