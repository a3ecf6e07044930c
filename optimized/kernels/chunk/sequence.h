// Where a chunk's tokens lie: rows [B T, H, width], forwards or backwards.
#pragma once
#include "part.h"

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

    // rows begin to end
    TILE_FN Sequence(long long begin, long long end, int reverse)
        : first(reverse ? end - 1 : begin), step(reverse ? -1 : 1), length((int)(end - begin)) {}
    TILE_FN Sequence(const long long* offsets, int n, int reverse) : Sequence(offsets[n], offsets[n + 1], reverse) {}
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

// which block of a sweep this is; BACK: from the last chunk to the first
template <class Args, bool BACK = false>
struct Place {
    Part part;
    Sequence seq;
    int h, v0, chunks, window;  // chunks in all, of which those of the window come first
    long long state, first;     // element of [., H, K, V] of what enters; chunks before these

    TILE_FN Place(const Args& a, int C, int V)
        : part(sequence::part<BACK>(a, block_id() / a.slices / a.H, a.H, block_id() / a.slices % a.H, a.reverse)),
          seq(part.from(a.offsets), part.to(a.offsets), a.reverse),
          h(block_id() / a.slices % a.H),
          v0(block_id() % a.slices * V),
          chunks((seq.length + C - 1) / C),
          window((part.before + part.behind) / C),
          state(((long long)part.entry * a.H + h) * a.K * a.V + v0),
          first(a.chunks[part.first] - part.before / C) {}
    // element of [total, H, V, K]
    TILE_FN long long kept(const Args& a, int chunk) const { return (((first + chunk) * a.H + h) * a.V + v0) * a.K; }
    // whether what leaves these chunks is given away, and as which element: of a sequence, or of a piece that is summed up
    TILE_FN bool leaves(const Args& a) const { return a.entering == OF_NOBODY || (BACK ? part.begins : part.ends); }
    TILE_FN long long left(const Args& a) const {
        const int whose = a.entering == OF_NOBODY ? part.first : part.sequence;
        return ((long long)whose * a.H + h) * a.K * a.V + v0;
    }
    // how much of something is given away of a chunk: nothing of a window
    TILE_FN int given(int chunk, int all) const {
        return (BACK ? chunks - 1 - chunk : chunk) < window ? 0 : all;
    }
};

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
