// The inverse of a chunk's unit lower triangular system of 32, by four warps or more: two blocks of 16 by substitution, then
// what is below them, two columns a thread. The code is small on purpose: it runs beside other roles, and what they all
// fetch has to stay in the instruction caches.
#pragma once
#include "span.h"

namespace delta {

using System = Tile<float, 32, 32>;

struct alignas(16) Four {
    float x[4];
};
// of a row, from a column that is a multiple of four
TILE_FN Four four(const System& a, int row, int column) {
#if TILE_HOST
    return {a.at(row, column), a.at(row, column + 1), a.at(row, column + 2), a.at(row, column + 3)};
#else
    return *reinterpret_cast<const Four*>(a.piece(row, column / 4));
#endif
}

// one column of the inverse of a block of 16
struct Column {
    float x[16];
};
TILE_FN void substitute(Column& y, const System& a, int b, int j) {
    TILE_UNROLL
    for (int i = 0; i < 16; i++) y.x[i] = i == j ? 1.f : 0.f;
    TILE_UNROLL
    for (int k = 0; k < 16; k += 4) {
        TILE_UNROLL
        for (int i = k + 1; i < 16; i++) {
            const Four row = four(a, b + i, b + k);
            TILE_UNROLL
            for (int e = 0; e < 4; e++)
                if (k + e < i) y.x[i] = fused(-row.x[e], y.x[k + e], y.x[i]);
        }
    }
}

// two neighbours of the product of two blocks of 16
struct Two {
    float x, y;
};
TILE_FN Two product(const System& a, int row, int left, int top, int column) {
    Two sum = {0, 0};
    TILE_UNROLL
    for (int k = 0; k < 16; k += 4) {
        const Four x = four(a, row, left + k);
        TILE_UNROLL
        for (int e = 0; e < 4; e++) {
            float y[2];
            a.get_pair(y[0], y[1], top + k + e, column);
            sum = {fused(x.x[e], y[0], sum.x), fused(x.x[e], y[1], sum.y)};
        }
    }
    return sum;
}

// The blocks of 16 on the diagonal of I + what a has below its diagonal become their inverses, by the first warp.
template <int W>
TILE_FN void invert_blocks(System& a) {
    Own<Column, 32 * W, W> columns;
    columns.for_each([&](Column& y, int n) {
        if (n < 32) substitute(y, a, n / 16 * 16, n % 16);
    });
#if !TILE_HOST
    warp_barrier();
#endif
    columns.for_each([&](Column& y, int n) {
        TILE_UNROLL
        for (int i = 0; i < 16; i++)
            if (n < 32) a.set(n / 16 * 16 + i, n, y.x[i]);
    });
}

// out = f(inverse, row) of the whole, after a barrier; what a has above the blocks is overwritten.
template <int W, class T, class F>
TILE_FN void join_inverses(Tile<T, 32, 32>& out, System& a, F f) {
    auto give = [&](int row, int col, const Two& x) { out.set_pair(row, col, f(x.x, row), f(x.y, row)); };
    // in place of what is above the blocks: what is below them, times the first
    for_each_index<W, 128>([&](int n) {
        const int r = n / 8, c = n % 8 * 2;
        const Two x = product(a, 16 + r, 0, 0, c);
        a.set_pair(r, 16 + c, x.x, x.y);
    });
    group_barrier<W>();
    for_each_index<W, 128>([&](int n) {
        const int r = n / 8, c = n % 8 * 2;
        const Two x = product(a, 16 + r, 16, 0, 16 + c);
        Two first, second;
        a.get_pair(first.x, first.y, r, c);
        a.get_pair(second.x, second.y, 16 + r, 16 + c);
        give(r, c, first);
        give(r, 16 + c, {0, 0});
        give(16 + r, c, {-x.x, -x.y});
        give(16 + r, 16 + c, second);
    });
}

}  // namespace delta
