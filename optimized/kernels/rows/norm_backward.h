// Gradients of norms, and the sums of the weights' own over blocks.
#pragma once

#include "norm.h"

namespace norms {

template <class T, int G, int K, int N>
struct NormBackward : Rows<T, G, K, N> {
    using R = Rows<T, G, K, N>;
    using Args = typename R::Args;
    using Piece = typename R::Piece;
    using R::WARPS, R::ROWS, R::V, R::P;
    static constexpr int MIN_BLOCKS = N > 256 ? 1 : P * V > 8 ? 2 : 3;
    struct Item {
        float sums[2], d_w[P][V], d_b[P][V];
        typename R::Scale scale;
    };
    struct Shared {
        typename R::Ring ring;
        float scratch[2 * WARPS];
        float sums[ROWS > 1 ? ROWS : 1][2][ROWS > 1 ? K : 1];
    };

    // s, and d_o
    template <bool WIDE>
    static TILE_FN void get(float (&s)[V], float (&d_o)[V], const Piece& x) {
        x.template get<WIDE>(s, R::X, x.a.x);
        if (x.a.residual) x.template add<WIDE>(s, x.a.residual);
        if (x.a.d_o) {
            x.template get<WIDE>(d_o, R::OTHER, x.a.d_o);
        } else {
            TILE_UNROLL
            for (int e = 0; e < V; e++) d_o[e] = 0;
        }
    }
    // d_g, and d_o act(g) in place of d_o; y is the norm before its scale
    template <bool WIDE>
    static TILE_FN void through_gate(float (&d_o)[V], const Item& item, const Piece& x, const float (&y)[V]) {
        const Args& a = x.a;
        float g[V], d_g[V];
        x.template get<WIDE>(g, R::GATE, a.g);
        TILE_UNROLL
        for (int e = 0; e < V; e++) {
            const Sigmoids s = sigmoids<T>(g[e]);
            const float w = a.weight ? item.scale.weight(x, e) : 1.f, b = a.bias ? item.scale.bias(x, e) : 0.f;
            d_g[e] = d_o[e] * fused(y[e], w, b) * s.up * (a.swish ? fused(g[e], s.down, 1.f) : s.down);
            d_o[e] *= a.swish ? g[e] * s.up : s.up;
        }
        x.template put<WIDE>(a.d_g, d_g);
    }
    template <bool WIDE>
    static TILE_FN void products(Item& item, const Piece& x) {
        const Args& a = x.a;
        float s[V], c[V];
        get<WIDE>(s, c, x);
        item.scale.template load<WIDE>(x, false);
        if (a.weight) {
            TILE_UNROLL
            for (int e = 0; e < V; e++) c[e] *= item.scale.weight(x, e);
        }
        if (a.g) {
            float g[V];
            x.template get<WIDE>(g, R::GATE, a.g);
            TILE_UNROLL
            for (int e = 0; e < V; e++) c[e] *= gate<T>(g[e], a.swish);
        }
        TILE_UNROLL
        for (int e = 0; e < V; e++) {
            item.sums[0] = fused(s[e], s[e], item.sums[0]);
            item.sums[1] = fused(c[e], s[e], item.sums[1]);
        }
    }
    static TILE_FN void count(Item& item, const Piece& x, const float (&d_o)[V], const float (&y)[V]) {
        const Args& a = x.a;
        float* partial = K ? nullptr : a.partial + (long long)block_id() * 2 * a.D + x.column;
        TILE_UNROLL
        for (int e = 0; e < V; e++) {
            if constexpr (K > 0) {
                item.d_w[x.p][e] = fused(d_o[e], y[e], item.d_w[x.p][e]);
                item.d_b[x.p][e] += d_o[e];
            } else if (e < x.n) {
                partial[e] = fused(d_o[e], y[e], partial[e]);
                partial[a.D + e] += d_o[e];
            }
        }
    }
    template <bool WIDE>
    static TILE_FN void finish(Item& item, const Piece& x, float r, float along) {
        const Args& a = x.a;
        float s[V], d_o[V], y[V];
        get<WIDE>(s, d_o, x);
        item.scale.template load<WIDE>(x, false);
        TILE_UNROLL
        for (int e = 0; e < V; e++) y[e] = s[e] * r;
        if (a.g) through_gate<WIDE>(d_o, item, x, y);
        if (a.partial) count(item, x, d_o, y);
        if (!a.d_x && !a.d_residual) return;
        if (a.weight) {
            TILE_UNROLL
            for (int e = 0; e < V; e++) d_o[e] *= item.scale.weight(x, e);
        }
        TILE_UNROLL
        for (int e = 0; e < V; e++) d_o[e] = r * fused(-along, s[e], d_o[e]);
        if (a.d_s) x.template add<WIDE>(d_o, a.d_s);
        x.template put<WIDE>(a.d_x, d_o);
        x.template put<WIDE>(a.d_residual, d_o);
    }
    template <bool WIDE>
    static TILE_FN void begin(Item& item, typename R::Ring& ring, const Args& a, int i) {
        TILE_UNROLL
        for (int p = 0; p < P; p++) {
            TILE_UNROLL
            for (int e = 0; e < V; e++) item.d_w[p][e] = item.d_b[p][e] = 0;
        }
        R::pieces(a, ring, 0, i, 0, [&](const Piece& x) {
            item.scale.template load<WIDE>(x, true);
            if (K == 0 && a.partial) {
                float* partial = a.partial + (long long)block_id() * 2 * a.D + x.column;
                for (int e = 0; e < V && e < x.n; e++) partial[e] = partial[a.D + e] = 0;
            }
        });
    }
    // the sums of the block's rows
    template <bool WIDE>
    static TILE_FN void end(Shared& shared, Own<Item, N, WARPS>& items, const Args& a) {
        float* partial = a.partial + (long long)block_id() * 2 * a.D;
        if constexpr (K > 0 && ROWS == 1) {
            items.for_each([&](Item& item, int i) {
                R::pieces(a, shared.ring, 0, i, 0, [&](const Piece& x) {
                    if (a.d_weight) write_floats<WIDE>(partial + x.column, x.n, item.d_w[x.p]);
                    if (a.d_bias) write_floats<WIDE>(partial + a.D + x.column, x.n, item.d_b[x.p]);
                });
            });
        } else if constexpr (K > 0) {
            items.for_each([&](Item& item, int i) {
                R::pieces(a, shared.ring, 0, i, 0, [&](const Piece& x) {
                    TILE_UNROLL
                    for (int e = 0; e < V; e++) {
                        shared.sums[i / G][0][x.column + e] = item.d_w[x.p][e];
                        shared.sums[i / G][1][x.column + e] = item.d_b[x.p][e];
                    }
                });
            });
            barrier();
            for_each_index<WARPS, 2 * K>([&](int i) {
                const int which = i / K, c = i % K;
                if (c >= a.D) return;
                double sum = shared.sums[0][which][c];
                TILE_UNROLL
                for (int row = 1; row < ROWS; row++) sum += shared.sums[row][which][c];
                partial[(long long)which * a.D + c] = static_cast<float>(sum);
            });
        }
    }
    template <bool WIDE>
    static TILE_FN void all(Shared& shared, const Args& a) {
        typename R::Ring& ring = shared.ring;
        Own<Item, N, WARPS> items;
        items.for_each([&](Item& item, int i) { begin<WIDE>(item, ring, a, i); });
        auto fetch = [&](int i, int row, int stage) {
            R::pieces(a, ring, row, i, stage, [&](const Piece& x) {
                x.template fetch<WIDE>(R::X, a.x);
                x.template fetch<WIDE>(R::OTHER, a.d_o);
                x.template fetch<WIDE>(R::GATE, a.g);
            });
        };
        R::walk(a, fetch, [&](int row, int rows, int stage) {
            items.for_each([&](Item& item, int i) {
                item.sums[0] = item.sums[1] = 0;
                if (row + i / G < rows)
                    R::pieces(a, ring, row + i / G, i, stage, [&](const Piece& x) { products<WIDE>(item, x); });
            });
            group_sums<G, 2>(items, shared.scratch, [](Item& item) -> float(&)[2] { return item.sums; });
            items.for_each([&](Item& item, int i) {
                const float r = R::root(a, item.sums[0]), along = item.sums[1] * a.mean * r * r;
                if (row + i / G < rows)
                    R::pieces(a, ring, row + i / G, i, stage, [&](const Piece& x) { finish<WIDE>(item, x, r, along); });
            });
        });
        if (a.partial) end<WIDE>(shared, items, a);
    }
    static TILE_FN void run(Shared& shared, const Args& a) {
        if (wide_rows(a.D, V))
            all<true>(shared, a);
        else
            all<false>(shared, a);
    }
};

template <class T, int G, int K, int N>
struct NormSums {
    using Args = norms::Args<T>;
    static constexpr int WARPS = N / TILE_LANES, MIN_BLOCKS = 1, WIDTH = 32;
    struct Shared {
        double scratch[N];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int slices = (a.D + WIDTH - 1) / WIDTH, first = block_id() % slices * WIDTH, which = block_id() / slices;
        T* out = which ? a.d_bias : a.d_weight;
        if (!out) return;
        const long long blocks = (a.rows + a.each - 1) / a.each;
        matrix_column_sums<WARPS, WIDTH>(s.scratch, a.partial + (long long)which * a.D + first, 2ll * a.D, blocks,
                                         a.D - first, [&](int c, float sum) { out[first + c] = round_to<T>(sum); });
    }
};

}  // namespace norms
