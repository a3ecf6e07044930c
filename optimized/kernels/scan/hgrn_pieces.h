// What pieces of hgrn's sequences do, where these are cut.
#pragma once
#include "hgrn.h"

namespace hgrn {

// What each piece does to the state that enters it, and to the gradient that enters it from behind.
template <class T, int C, int K, int V>
struct HgrnPieces : Scan<T, C, K, V> {
    using S = Scan<T, C, K, V>;
    using Args = typename S::Args;
    using Two = typename S::Two;
    using Place = typename S::Place;
    using S::STAGES, S::WARPS;
    struct Stage {
        Tile<T, C, K> x, g, d_o;
    };
    struct Sum {
        Two decay, end, back;
    };
    struct Shared {
        Stage stage[STAGES];
        Sum segment[S::SEGMENTS][K / 2], piece[K / 2];
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int chunk) {
        const long long from = S::element(a, at, chunk);
        const int rows = S::count(at, chunk);
        load_async<WARPS>(x.g, a.g + from, a.D, rows, at.width);
        if (a.ends) load_async<WARPS>(x.x, a.x + from, a.D, rows, at.width);
        if (a.backs && a.d_o) load_async<WARPS>(x.d_o, a.d_o + from, a.D, rows, at.width);
    }

    static TILE_FN Sum nothing() { return {{1, 1}, {0, 0}, {0, 0}}; }
    // x, and then y
    static TILE_FN Sum append(const Sum& x, const Sum& y) {
        return {S::times(x.decay, y.decay), S::join(y.decay, x.end, y.end), S::join(x.decay, y.back, x.back)};
    }

    static TILE_FN void step(Shared& s, const Stage& x, const Args& a) {
        const bool ends = a.ends, backs = a.backs && a.d_o;
        for_each_index<WARPS, S::ITEMS>([&](int item) {
            const int c = S::channel(item), segment = S::segment(item);
            Sum sum = nothing();
            TILE_UNROLL
            for (int r = segment * V; r < segment * V + V; r++) {
                const Two decay = S::decays(S::two(x.g, r, c));
                const Two in = ends ? S::two(x.x, r, c) : Two{0, 0}, out = backs ? S::two(x.d_o, r, c) : Two{0, 0};
                sum = append(sum, {decay, in, S::times(decay, out)});
            }
            s.segment[segment][c / 2] = sum;
        });
        barrier();
        for_each_index<WARPS, K / 2>([&](int c) {
            Sum sum = s.segment[0][c];
            TILE_UNROLL
            for (int i = 1; i < S::SEGMENTS; i++) sum = append(sum, s.segment[i][c]);
            s.piece[c] = append(sum, s.piece[c]);
        });
    }

    static TILE_FN void put(float* to, Two Sum::* of, const Sum (&piece)[K / 2], const Place& at, int D) {
        if (!to) return;
        for_each_index<WARPS, K>([&](int k) {
            const Two& x = piece[k / 2].*of;
            if (k < at.width) to[(long long)at.piece * D + at.first + k] = k % 2 ? x.y : x.x;
        });
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = S::place(a);
        const int n = (int)((at.length + C - 1) / C);
        for_each_index<WARPS, K / 2>([&](int c) { s.piece[c] = nothing(); });
        // from the end, so that a cache still holds the beginning when the forward pass begins there
        for (int c = n + STAGES - 2; c >= 0; c--) {
            const int next = c - (STAGES - 1);
            if (next >= 0) fetch(s.stage[next % STAGES], a, at, next);
            commit();
            if (STAGES > 1 && c >= n) continue;
            wait<STAGES - 1>();
            barrier();
            step(s, s.stage[c % STAGES], a);
            barrier();
        }
        barrier();
        put(a.decays, &Sum::decay, s.piece, at, a.D);
        put(a.ends, &Sum::end, s.piece, at, a.D);
        put(a.backs, &Sum::back, s.piece, at, a.D);
    }
};

}  // namespace hgrn
