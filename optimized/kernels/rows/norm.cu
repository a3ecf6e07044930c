// Norms of rows, in f32 between loads and stores. With s = x + residual, r = 1 / sqrt(mean sum_i s_i^2 + eps), mean = 1 for
// l2_norm and 1 / D for rms_norm and rms_norm_gated, y = s r, act = 1 where there is no g, else g sigmoid(g) or sigmoid(g):
//   o = (y w + b) act(g)
// Backward: c = d_o act(g) w,  d_s' = r (c - s r^2 mean sum_i c_i s_i) + d_s,  which is d_x and d_residual;
//   d_g = d_o (y w + b) act'(g);  d_w = sum over rows of d_o act(g) y;  d_b = sum over rows of d_o act(g).
//
// G threads have a row between them, N threads make a block, which works on `each` rows, N / G at a time. Up to K columns,
// threads keep their share of a row in registers, as far as there is room, and their share of d_w and d_b; K = 0 takes any
// width, and leaves d_w and d_b in memory meanwhile. What is not kept is read again, from a cache as a rule.
//
// forward:   NormForward    grid ceil(rows / each)
// backward:  NormBackward   grid ceil(rows / each)
//            NormSums       grid 2 ceil(D / 32)       when d_weight or d_bias is wanted
// workspace: partial, f32, 2 D ceil(rows / each) elements (no initialisation needed), for those two alone.
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

// the gate's function and its slope
template <class T>
TILE_FN float gate(float g, int swish) {
    const float s = sigmoid<T>(g);
    return swish ? g * s : s;
}
template <class T>
TILE_FN float gate_slope(float g, int swish) {
    const float s = sigmoid<T>(g);
    return s * (swish ? fused(g, 1 - s, 1.f) : 1 - s);
}

template <class T, int G, int K, int N>
struct Rows {
    using Args = norms::Args<T>;
    static constexpr int WARPS = N / TILE_LANES, MIN_BLOCKS = 1, ROWS = N / G;
    static constexpr int V = 16 / sizeof(T), P = K ? K / (G * V) : 1;
    static_assert(K == 0 ? G == N : P * G * V == K, "whole pieces, and of any width one row at a time");

    // f(p, column, columns from there on) for the pieces that an item has of its row
    template <class F>
    static TILE_FN void pieces(int item, int D, F f) {
        if constexpr (K > 0) {
            TILE_UNROLL
            for (int p = 0; p < P; p++) {
                const int c = (p * G + item % G) * V;
                if (c < D) f(p, c, D - c);
            }
        } else {
            TILE_ROLL
            for (int c = item % G * V; c < D; c += G * V) f(0, c, D - c);
        }
    }
    // x + residual
    template <bool WIDE>
    static TILE_FN void sum(float (&s)[V], const Args& a, long long at, int n) {
        read_floats<WIDE>(s, a.x + at, n);
        if (!a.residual) return;
        float more[V];
        read_floats<WIDE>(more, a.residual + at, n);
        TILE_UNROLL
        for (int e = 0; e < V; e++) s[e] += more[e];
    }
    static TILE_FN void fill(float (&x)[V], float value) {
        TILE_UNROLL
        for (int e = 0; e < V; e++) x[e] = value;
    }
    static TILE_FN void copy(float (&x)[V], const float (&y)[V]) {
        TILE_UNROLL
        for (int e = 0; e < V; e++) x[e] = y[e];
    }
    template <bool WIDE>
    static TILE_FN void read_or(float (&x)[V], const T* ptr, long long at, int n, float otherwise) {
        if (ptr)
            read_floats<WIDE>(x, ptr + at, n);
        else
            fill(x, otherwise);
    }
    static TILE_FN float root(const Args& a, float sum) { return 1 / square_root(fused(sum, a.mean, a.eps)); }
};

template <class T, int G, int K, int N>
struct NormForward : Rows<T, G, K, N> {
    using R = Rows<T, G, K, N>;
    using Args = typename R::Args;
    using R::WARPS, R::ROWS, R::V, R::P;
    static constexpr bool KEPT = K > 0 && P * V <= 32;
    struct Item {
        float s[KEPT ? P : 1][V], sums[1];
    };
    struct Shared {
        float scratch[WARPS];
    };

    template <bool WIDE>
    static TILE_FN void squares(Item& item, const Args& a, long long row, int i) {
        item.sums[0] = 0;
        R::pieces(i, a.D, [&](int p, int c, int n) {
            float s[V];
            R::template sum<WIDE>(s, a, row * a.D + c, n);
            TILE_UNROLL
            for (int e = 0; e < V; e++) item.sums[0] = fused(s[e], s[e], item.sums[0]);
            if (KEPT) R::copy(item.s[p], s);
        });
    }
    template <bool WIDE>
    static TILE_FN void finish(Item& item, const Args& a, long long row, int i) {
        const float r = R::root(a, item.sums[0]);
        R::pieces(i, a.D, [&](int p, int c, int n) {
            const long long at = row * a.D + c;
            float s[V], w[V], b[V], y[V];
            if (KEPT)
                R::copy(s, item.s[p]);
            else
                R::template sum<WIDE>(s, a, at, n);
            R::template read_or<WIDE>(w, a.weight, c, n, 1);
            R::template read_or<WIDE>(b, a.bias, c, n, 0);
            TILE_UNROLL
            for (int e = 0; e < V; e++) y[e] = fused(s[e] * r, w[e], b[e]);
            if (a.g) {
                float g[V];
                read_floats<WIDE>(g, a.g + at, n);
                TILE_UNROLL
                for (int e = 0; e < V; e++) y[e] *= gate<T>(g[e], a.swish);
            }
            if (a.o) write_floats<WIDE>(a.o + at, n, y);
            if (a.s) write_floats<WIDE>(a.s + at, n, s);
        });
    }
    template <bool WIDE>
    static TILE_FN void walk(Shared& shared, const Args& a) {
        const long long first = block_id() * a.each, end = first + a.each < a.rows ? first + a.each : a.rows;
        TILE_ROLL
        for (long long row = first; row < end; row += ROWS) {
            Own<Item, N, WARPS> items;
            items.for_each([&](Item& item, int i) {
                item.sums[0] = 0;
                if (row + i / G < end) squares<WIDE>(item, a, row + i / G, i);
            });
            group_sums<G, 1>(items, shared.scratch, [](Item& item) -> float(&)[1] { return item.sums; });
            items.for_each([&](Item& item, int i) {
                if (row + i / G < end) finish<WIDE>(item, a, row + i / G, i);
            });
        }
    }
    static TILE_FN void run(Shared& shared, const Args& a) {
        if (wide_rows(a.D, V))
            walk<true>(shared, a);
        else
            walk<false>(shared, a);
    }
};

template <class T, int G, int K, int N>
struct NormBackward : Rows<T, G, K, N> {
    using R = Rows<T, G, K, N>;
    using Args = typename R::Args;
    using R::WARPS, R::ROWS, R::V, R::P;
    static constexpr bool KEPT = K > 0 && P * V <= 16;
    struct Item {
        float s[KEPT ? P : 1][V], d_o[KEPT ? P : 1][V], sums[2];
        float d_w[P][V], d_b[P][V];
    };
    struct Shared {
        float scratch[2 * WARPS];
        float sums[ROWS > 1 ? ROWS : 1][2][ROWS > 1 ? K : 1];
    };

    template <bool WIDE>
    static TILE_FN void products(Item& item, const Args& a, long long row, int i) {
        R::pieces(i, a.D, [&](int p, int c, int n) {
            const long long at = row * a.D + c;
            float s[V], d_o[V], w[V], g[V];
            R::template sum<WIDE>(s, a, at, n);
            R::template read_or<WIDE>(d_o, a.d_o, at, n, 0);
            if (a.g) read_floats<WIDE>(g, a.g + at, n);
            R::template read_or<WIDE>(w, a.weight, c, n, 1);
            TILE_UNROLL
            for (int e = 0; e < V; e++) {
                const float d = d_o[e] * w[e], act = a.g ? gate<T>(g[e], a.swish) : 1.f;
                item.sums[0] = fused(s[e], s[e], item.sums[0]);
                item.sums[1] = fused(d * act, s[e], item.sums[1]);
            }
            if (KEPT) R::copy(item.s[p], s), R::copy(item.d_o[p], d_o);
        });
    }
    // d_g, and d_o act(g) in place of d_o
    template <bool WIDE>
    static TILE_FN void through_gate(float (&d_o)[V], const Args& a, const float (&y)[V], const float (&w)[V],
                                     long long at, int c, int n) {
        float g[V], b[V];
        read_floats<WIDE>(g, a.g + at, n);
        if (a.d_g) {
            float d_g[V];
            R::template read_or<WIDE>(b, a.bias, c, n, 0);
            TILE_UNROLL
            for (int e = 0; e < V; e++) d_g[e] = d_o[e] * fused(y[e], w[e], b[e]) * gate_slope<T>(g[e], a.swish);
            write_floats<WIDE>(a.d_g + at, n, d_g);
        }
        TILE_UNROLL
        for (int e = 0; e < V; e++) d_o[e] *= gate<T>(g[e], a.swish);
    }
    static TILE_FN void count(Item& item, const Args& a, int p, int c, int n, const float (&d_o)[V], const float (&y)[V]) {
        float* partial = K ? nullptr : a.partial + (long long)block_id() * 2 * a.D + c;
        TILE_UNROLL
        for (int e = 0; e < V; e++) {
            if constexpr (K > 0) {
                item.d_w[p][e] = fused(d_o[e], y[e], item.d_w[p][e]);
                item.d_b[p][e] += d_o[e];
            } else if (e < n) {
                partial[e] = fused(d_o[e], y[e], partial[e]);
                partial[a.D + e] += d_o[e];
            }
        }
    }
    template <bool WIDE>
    static TILE_FN void finish(Item& item, const Args& a, long long row, int i) {
        const float r = R::root(a, item.sums[0]), along = item.sums[1] * a.mean * r * r;
        R::pieces(i, a.D, [&](int p, int c, int n) {
            const long long at = row * a.D + c;
            float s[V], d_o[V], w[V], y[V], d_s[V];
            if (KEPT) {
                R::copy(s, item.s[p]), R::copy(d_o, item.d_o[p]);
            } else {
                R::template sum<WIDE>(s, a, at, n);
                R::template read_or<WIDE>(d_o, a.d_o, at, n, 0);
            }
            R::template read_or<WIDE>(w, a.weight, c, n, 1);
            TILE_UNROLL
            for (int e = 0; e < V; e++) y[e] = s[e] * r;
            if (a.g) through_gate<WIDE>(d_o, a, y, w, at, c, n);
            if (a.partial) count(item, a, p, c, n, d_o, y);
            if (!a.d_x && !a.d_residual) return;
            R::template read_or<WIDE>(d_s, a.d_s, at, n, 0);
            TILE_UNROLL
            for (int e = 0; e < V; e++) d_s[e] = fused(r, fused(-along, s[e], d_o[e] * w[e]), d_s[e]);
            if (a.d_x) write_floats<WIDE>(a.d_x + at, n, d_s);
            if (a.d_residual) write_floats<WIDE>(a.d_residual + at, n, d_s);
        });
    }
    static TILE_FN void begin(Item& item, const Args& a, int i) {
        TILE_UNROLL
        for (int p = 0; p < P; p++) R::fill(item.d_w[p], 0), R::fill(item.d_b[p], 0);
        if (K > 0 || !a.partial) return;
        float* partial = a.partial + (long long)block_id() * 2 * a.D;
        R::pieces(i, a.D, [&](int, int c, int n) {
            for (int e = 0; e < V && e < n; e++) partial[c + e] = partial[a.D + c + e] = 0;
        });
    }
    // the sums of the block's rows
    static TILE_FN void end(Shared& shared, Own<Item, N, WARPS>& items, const Args& a) {
        if constexpr (K > 0) {
            float* partial = a.partial + (long long)block_id() * 2 * a.D;
            items.for_each([&](Item& item, int i) {
                R::pieces(i, a.D, [&](int p, int c, int n) {
                    TILE_UNROLL
                    for (int e = 0; e < V; e++) {
                        if (ROWS > 1)
                            shared.sums[i / G][0][c + e] = item.d_w[p][e], shared.sums[i / G][1][c + e] = item.d_b[p][e];
                        else if (e < n)
                            partial[c + e] = item.d_w[p][e], partial[a.D + c + e] = item.d_b[p][e];
                    }
                });
            });
            if (ROWS == 1) return;
            barrier();
            for_each_index<WARPS, 2 * K>([&](int i) {
                const int which = i / K, c = i % K;
                if (c >= a.D) return;
                float sum = shared.sums[0][which][c];
                TILE_UNROLL
                for (int row = 1; row < ROWS; row++) sum += shared.sums[row][which][c];
                partial[(long long)which * a.D + c] = sum;
            });
        }
    }
    template <bool WIDE>
    static TILE_FN void walk(Shared& shared, const Args& a) {
        const long long first = block_id() * a.each, end_row = first + a.each < a.rows ? first + a.each : a.rows;
        Own<Item, N, WARPS> items;
        items.for_each([&](Item& item, int i) { begin(item, a, i); });
        TILE_ROLL
        for (long long row = first; row < end_row; row += ROWS) {
            items.for_each([&](Item& item, int i) {
                item.sums[0] = item.sums[1] = 0;
                if (row + i / G < end_row) products<WIDE>(item, a, row + i / G, i);
            });
            group_sums<G, 2>(items, shared.scratch, [](Item& item) -> float(&)[2] { return item.sums; });
            items.for_each([&](Item& item, int i) {
                if (row + i / G < end_row) finish<WIDE>(item, a, row + i / G, i);
            });
        }
        if (a.partial) end(shared, items, a);
    }
    static TILE_FN void run(Shared& shared, const Args& a) {
        if (wide_rows(a.D, V))
            walk<true>(shared, a);
        else
            walk<false>(shared, a);
    }
};

template <class T, int G, int K, int N>
struct NormSums {
    using Args = norms::Args<T>;
    static constexpr int WARPS = N / TILE_LANES, MIN_BLOCKS = 1, WIDTH = 32;
    struct Shared {
        float scratch[N];
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

using norms::NormBackward;
using norms::NormForward;
using norms::NormSums;
