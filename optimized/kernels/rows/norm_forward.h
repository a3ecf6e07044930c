// Normalised rows.
#pragma once

#include "norm.h"

namespace norms {

template <class T, int G, int K, int N>
struct NormForward : Rows<T, G, K, N> {
    using R = Rows<T, G, K, N>;
    using Args = typename R::Args;
    using Piece = typename R::Piece;
    using R::WARPS, R::V, R::P;
    static constexpr int MIN_BLOCKS = N == 256 ? 3 : 1;
    struct Item {
        float sums[1];
        typename R::Scale scale;
    };
    struct Shared {
        typename R::Ring ring;
        float scratch[WARPS];
    };

    template <bool WIDE>
    static TILE_FN void sum(float (&s)[V], const Piece& x) {
        x.template get<WIDE>(s, R::X, x.a.x);
        if (!x.a.residual) return;
        float more[V];
        x.template get<WIDE>(more, R::OTHER, x.a.residual);
        TILE_UNROLL
        for (int e = 0; e < V; e++) s[e] += more[e];
    }
    template <bool WIDE>
    static TILE_FN void finish(Item& item, const Piece& x, float r) {
        const Args& a = x.a;
        float s[V], y[V];
        sum<WIDE>(s, x);
        item.scale.template load<WIDE>(x, false);
        TILE_UNROLL
        for (int e = 0; e < V; e++) y[e] = s[e] * r;
        if (a.weight) {
            TILE_UNROLL
            for (int e = 0; e < V; e++) y[e] *= item.scale.weight(x, e);
        }
        if (a.bias) {
            TILE_UNROLL
            for (int e = 0; e < V; e++) y[e] += item.scale.bias(x, e);
        }
        if (a.g) {
            float g[V];
            x.template get<WIDE>(g, R::GATE, a.g);
            TILE_UNROLL
            for (int e = 0; e < V; e++) y[e] *= gate<T>(g[e], a.swish);
        }
        x.template put<WIDE>(a.o, y);
        x.template put<WIDE>(a.s, s);
    }
    template <bool WIDE>
    static TILE_FN void all(Shared& shared, const Args& a) {
        typename R::Ring& ring = shared.ring;
        Own<Item, N, WARPS> items;
        items.for_each([&](Item& item, int i) {
            R::pieces(a, ring, 0, i, 0, [&](const Piece& x) { item.scale.template load<WIDE>(x, true); });
        });
        auto fetch = [&](int i, int row, int stage) {
            R::pieces(a, ring, row, i, stage, [&](const Piece& x) {
                x.template fetch<WIDE>(R::X, a.x);
                x.template fetch<WIDE>(R::OTHER, a.residual);
                x.template fetch<WIDE>(R::GATE, a.g);
            });
        };
        R::walk(a, fetch, [&](int row, int rows, int stage) {
            items.for_each([&](Item& item, int i) {
                item.sums[0] = 0;
                if (row + i / G >= rows) return;
                R::pieces(a, ring, row + i / G, i, stage, [&](const Piece& x) {
                    float s[V];
                    sum<WIDE>(s, x);
                    TILE_UNROLL
                    for (int e = 0; e < V; e++) item.sums[0] = fused(s[e], s[e], item.sums[0]);
                });
            });
            group_sums<G, 1>(items, shared.scratch, [](Item& item) -> float(&)[1] { return item.sums; });
            items.for_each([&](Item& item, int i) {
                const float r = R::root(a, item.sums[0]);
                if (row + i / G < rows)
                    R::pieces(a, ring, row + i / G, i, stage, [&](const Piece& x) { finish<WIDE>(item, x, r); });
            });
        });
    }
    static TILE_FN void run(Shared& shared, const Args& a) {
        if (wide_rows(a.D, V))
            all<true>(shared, a);
        else
            all<false>(shared, a);
    }
};

}  // namespace norms
