// Where a chunk's tokens lie: rows [B T, H, width], forwards or backwards.
#pragma once
#include "../tile/tile.h"

namespace sequence {
using namespace tile;

template <bool C, class A, class B>
struct Either {
    using X = A;
};
template <class A, class B>
struct Either<false, A, B> {
    using X = B;
};
template <bool C, class A, class B>
using If = typename Either<C, A, B>::X;

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

// whether piece i is the first of its sequence, in the order of the recurrence
TILE_FN bool leads(const int* owners, const long long* firsts, int i, int reverse) {
    const int n = owners[i];
    return i == (int)(reverse ? firsts[n + 1] - 1 : firsts[n]);
}

// rows of a chunk of the sequence and head of at into a tile; zeros where there is nothing to load
template <int W, class T, int C, int N, class P>
TILE_FN void fetch_rows(Tile<T, C, N>& tile, const T* base, const P& at, int H, int token, int width, int column) {
    if (base) {
        const Rows<const T> x(base, at.seq, token, H, at.h, width, column);
        load_async<W>(tile, x.ptr, x.ld, at.seq.length - token, width - column);
    } else {
        fill<W>(tile, 0);
    }
}

// Chunks one after the other: fetch(place, chunk), of which there are STAGES places, and step(place) with what has come.
// Fetches commit, also past the last chunk, where there is nothing to fetch.
template <int STAGES, class Fetch, class Step>
TILE_FN void walk(int chunks, Fetch fetch, Step step) {
    if (STAGES == 2) fetch(0, 0);
    for (int i = 0; i < chunks; i++) {
        if (STAGES == 1) {
            barrier();
            fetch(0, i);
        }
        wait<0>();
        barrier();
        if (STAGES == 2) fetch((i + 1) % STAGES, i + 1);
        step(i % STAGES);
    }
}

template <class T, int R, int N, int W>
TILE_FN void keep(Tile<T, R, N>& tile, Columns<R, N, W>& x) {
    x.for_each([&](float& a, float& b, int r, int c) { tile.set_pair(r, c, a, b); });
}
template <class T, int R, int N, int W>
TILE_FN void recall(Columns<R, N, W>& x, const Tile<T, R, N>& tile) {
    x.for_each([&](float& a, float& b, int r, int c) { tile.get_pair(a, b, r, c); });
}

}  // namespace sequence
