// What crosses a token: sums over pairs of a later and an earlier one.
#pragma once
#include "tile.h"

namespace tile {

// x_t becomes the sum of p_ij pair(i, j, c) over i >= t and j < t; nothing else enters it
#if TILE_HOST
template <int R, int N, int W, class F>
void crossings(Columns<R, N, W>& x, const Tile<float, R, R>& p, F pair) {
    for (int r = 0; r < R; r++)
        for (int c = 0; c < N; c++) x.d[r][c] = 0;
    for (int i = 0; i < R; i++) {
        float sum[N] = {};
        for (int j = 0; j <= i; j++)
            for (int c = 0; c < N; c++) {
                x.d[j][c] += sum[c];
                sum[c] += p.at(i, j) * pair(i, j, c);
            }
    }
}
#else
template <int R, int N, int W, class F>
TILE_FN void crossings(Columns<R, N, W>& x, const Tile<float, R, R>& p, F pair) {
    using X = Columns<R, N, W>;
    if (!X::active()) return;
    const int r0 = opaque(X::run()) * X::RUN;
    TILE_UNROLL
    for (int n = 0; n < X::EACH; n++) {
        const int c = opaque(X::column(n));
        TILE_UNROLL
        for (int r = 0; r < X::RUN; r++) x.d[n][r][0] = x.d[n][r][1] = 0;
        TILE_ROLL
        for (int i = r0; i < R; i++) {
            float sum[2] = {};
            const auto add = [&](int j) {
                TILE_UNROLL
                for (int e = 0; e < 2; e++) sum[e] = fused(p.at(i, j), pair(i, j, c + e), sum[e]);
            };
            TILE_ROLL
            for (int j = 0; j < r0; j++) add(j);
            TILE_UNROLL
            for (int r = 0; r < X::RUN; r++) {
                if (r0 + r > i) continue;
                TILE_UNROLL
                for (int e = 0; e < 2; e++) x.d[n][r][e] += sum[e];
                add(r0 + r);
            }
        }
    }
}
#endif

}  // namespace tile
