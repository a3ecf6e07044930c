// What the kernels of norms share: rows, their pieces, and how they come.
#pragma once

#include "../tile/tile.h"

namespace norms {
using namespace tile;

template <class T>
struct Args {
    const T *x, *residual, *g, *weight, *bias;  // [rows, D], three times, then [D]; each but x may be null
    const T *d_o, *d_s;                         // [rows, D], backward only, each may be null for zeros
    T *o, *s;                                   // [rows, D], forward only, each may be null
    T *d_x, *d_residual, *d_g;                  // [rows, D], each may be null
    T *d_weight, *d_bias;                       // [D], NormSums only, each may be null
    float* partial;                             // [grid, 2, D] or null: d_w and d_b of the block's rows
    long long rows, each;
    int D, swish;
    float eps, mean;
};
static_assert(sizeof(Args<bf16>) == 15 * 8 + 2 * 8 + 4 * 4, "the launcher's twin must match");

template <class T>
TILE_FN float gate(float g, int swish) {
    const float s = sigmoid<T>(g);
    return swish ? g * s : s;
}

template <class T, int G, int K, int N>
struct Rows {
    using Args = norms::Args<T>;
    static constexpr int WARPS = N / TILE_LANES, ROWS = N / G, V = 16 / sizeof(T), P = K ? K / (G * V) : 1;
    static constexpr bool RING = TILE_ASYNC && K > 0;
    static_assert(K == 0 ? G == N : P * G * V == K, "whole pieces, and of any width one row at a time");

    enum Source { X, GATE, OTHER, SOURCES };  // the residual forward, d_o backward
    struct Ring {
        Few<T, V> piece[RING ? 2 : 1][SOURCES][P][RING ? N : 1];
    };
    // A piece of a row: where it lies in memory, from the block's first row on; its column, and how many there are from
    // there on; where it is kept.
    struct Piece {
        const Args& a;
        Ring& ring;
        int at, column, n, p, item, stage;

        template <class U>
        TILE_FN U* in(U* ptr) const {
            return ptr + (long long)block_id() * a.each * a.D + at;
        }

        template <bool WIDE>
        TILE_FN void fetch(Source source, const T* ptr) const {
            if (ptr) ring.piece[stage][source][p][item].template read_async<WIDE>(in(ptr), n);
        }
        template <bool WIDE>
        TILE_FN void get(float (&x)[V], Source source, const T* ptr) const {
            if constexpr (RING) {
                const Few<T, V> few = ring.piece[stage][source][p][item];
                TILE_UNROLL
                for (int e = 0; e < V; e++) x[e] = few[e];
            } else {
                read_floats<WIDE>(x, in(ptr), n);
            }
        }
        template <bool WIDE>
        TILE_FN void add(float (&x)[V], const T* ptr) const {
            float more[V];
            read_floats<WIDE>(more, in(ptr), n);
            TILE_UNROLL
            for (int e = 0; e < V; e++) x[e] += more[e];
        }
        template <bool WIDE>
        TILE_FN void put(T* ptr, const float (&x)[V]) const {
            if (ptr) write_floats<WIDE>(in(ptr), n, x);
        }
    };
    // f(piece) for the pieces that an item has of a row, which counts from the block's first
    template <class F>
    static TILE_FN void pieces(const Args& a, Ring& ring, int row, int item, int stage, F f) {
        if constexpr (K > 0) {
            TILE_UNROLL
            for (int p = 0; p < P; p++) {
                const int c = (p * G + item % G) * V;
                if (c < a.D) f(Piece{a, ring, row * a.D + c, c, a.D - c, p, item, stage});
            }
        } else {
            TILE_ROLL
            for (int c = item % G * V; c < a.D; c += G * V)
                f(Piece{a, ring, row * a.D + c, c, a.D - c, 0, item, stage});
        }
    }
    // an item's share of w and b, where there is room for it
    static constexpr bool KEPT = K > 0 && P * V <= 16;
    struct Scale {
        Few<T, V> w[KEPT ? P : 1], b[KEPT ? P : 1];

        template <bool WIDE>
        TILE_FN void load(const Piece& x, bool first) {
            const Args& a = x.a;
            if (KEPT != first) return;
            if (a.weight) w[KEPT ? x.p : 0].template read<WIDE>(a.weight + x.column, x.n);
            if (a.bias) b[KEPT ? x.p : 0].template read<WIDE>(a.bias + x.column, x.n);
        }
        TILE_FN float weight(const Piece& x, int e) const { return w[KEPT ? x.p : 0][e]; }
        TILE_FN float bias(const Piece& x, int e) const { return b[KEPT ? x.p : 0][e]; }
    };
    static TILE_FN float root(const Args& a, float sum) { return inverse_root<T>(fused(sum, a.mean, a.eps)); }

    // the rows of a block: fetch(item, its row, stage), a step ahead, and use(row of item 0, rows, stage)
    template <class Fetch, class Use>
    static TILE_FN void walk(const Args& a, Fetch fetch, Use use) {
        const long long left = a.rows - block_id() * a.each;
        const int rows = (int)(left < a.each ? left : a.each);
        auto start = [&](int row, int stage) {
            if (RING)
                for_each_index<WARPS, N>([&](int i) {
                    if (row + i / G < rows) fetch(i, row + i / G, stage);
                });
            commit();
        };
        start(0, 0);
        int stage = 0;
        TILE_ROLL
        for (int row = 0; row < rows; row += ROWS) {
            start(row + ROWS, stage ^ 1);
            wait<1>();
            use(row, rows, stage);
            stage ^= RING;
        }
    }
};

}  // namespace norms
