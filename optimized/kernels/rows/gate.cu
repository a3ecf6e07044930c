// The gates of delta rules from what their projections give, element by element in f32:
//   gdn_gate, kda_gate     o = -exp(A_log) softplus(g + dt_bias), with log1p's accuracy at both ends, or, with a bound,
//                          o = bound sigmoid(exp(A_log) (g + dt_bias)); A_log of the head, dt_bias of the column
//   beta_sigmoid           o = scale sigmoid(x)
// Backward: d_g is d_o times the slope, d_dt_bias its sum over rows; d_A_log the sum of d_o times the derivative by
// A_log over rows and over the columns of a head.
//
// Rows are tokens, columns all heads with their K columns each (1 in gdn_gate). A block works on C rows of COLUMNS
// pieces of V neighbouring columns; its items are pieces of a segment of rows, U rows of which are read at a time.
// slices = ceil(H K / (V COLUMNS)), chunks = ceil(rows / C).
//
// forward:   GateForward, BetaForward      grid chunks slices;  ceil(n / (THREADS V))
// backward:  GateBackward, BetaBackward    grid as forward
//            GateSums                      grid H + ceil(H K / 32)    when d_A_log or d_dt_bias is wanted
// workspace: partial, f32, chunks 2 H K elements (no initialisation needed), for those two alone.
#include "../tile/tile.h"

namespace gates {
using namespace tile;

constexpr int THREADS = 256, WARPS = THREADS / TILE_LANES, COLUMNS = 32, SEGMENTS = THREADS / COLUMNS, U = 4;

// log(1 + y) for 0 <= y <= 1 as 2 artanh(y / (2 + y))
TILE_FN float log1p(float y) {
    const float z = y * reciprocal<float>(2 + y), s = z * z;
    float tail = fused(s, 1.f / 15, 1.f / 13);
    tail = fused(s, fused(s, fused(s, tail, 1.f / 11), 1.f / 9), 1.f / 7);
    tail = s * fused(s, fused(s, tail, 1.f / 5), 1.f / 3);
    return 2 * fused(z, tail, z);
}
// e^-|x|, from which all of them come
TILE_FN float small(float x) { return exp<float>(x > 0 ? -x : x); }
TILE_FN float softplus(float x, float small) { return (x > 0 ? x : 0.f) + log1p(small); }
TILE_FN float sigmoid(float x, float small) { return (x > 0 ? 1.f : small) * reciprocal<float>(1 + small); }

template <class T>
struct Args {
    const T* g;                     // [rows, H K]
    const float *A_log, *dt_bias;   // [H], [H K], each may be null for 0
    const float* d_o;               // [rows, H K], backward only, or null for zeros
    float* o;                       // [rows, H K], forward only
    T* d_g;                         // [rows, H K] or null
    float *d_A_log, *d_dt_bias;     // [H], [H K], GateSums only, each may be null
    float* partial;                 // [chunks, 2, H K] or null: sums for d_A_log, for d_dt_bias
    long long rows;
    int H, K, slices, bounded;
    float bound;
};
static_assert(sizeof(Args<bf16>) == 9 * 8 + 8 + 5 * 4 + 4, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct Gate {
    using Args = gates::Args<T>;
    static constexpr int WARPS = gates::WARPS, MIN_BLOCKS = 1, EACH = C / SEGMENTS;

    // the columns of an item, and its rows
    struct Place {
        int column, n;
        long long chunk, row, end;
        float rate[V], bias[V];
    };
    static TILE_FN Place place(const Args& a, int i) {
        Place at;
        at.chunk = block_id() / a.slices;
        at.column = (block_id() % a.slices * COLUMNS + i % COLUMNS) * V;
        at.n = a.H * a.K - at.column;
        at.row = at.chunk * C + i / COLUMNS * EACH;
        at.end = at.row + EACH < a.rows ? at.row + EACH : a.rows;
        TILE_UNROLL
        for (int e = 0; e < V; e++) {
            const int c = at.column + e;
            at.rate[e] = a.A_log && e < at.n ? exp<float>(a.A_log[c / a.K]) : 1.f;
            at.bias[e] = a.dt_bias && e < at.n ? a.dt_bias[c] : 0.f;
        }
        return at;
    }
    // the gate, and its derivatives by g and by A_log
    struct Value {
        float o, by_g, by_rate;
    };
    static TILE_FN Value value(const Args& a, float g, float rate, float bias) {
        const float x = g + bias;
        if (!a.bounded) {
            const float e = small(x), o = -rate * softplus(x, e);
            return {o, -rate * sigmoid(x, e), o};
        }
        const float z = rate * x, e = small(z), s = sigmoid(z, e), slope = a.bound * s * sigmoid(-z, e);
        return {a.bound * s, slope * rate, slope * z};
    }
};

template <class T, int C, int K, int V>
struct GateForward : Gate<T, C, K, V> {
    using G = Gate<T, C, K, V>;
    using Args = typename G::Args;
    struct Shared {
        float unused;
    };

    template <bool WIDE>
    static TILE_FN void walk(const Args& a, const typename G::Place& at) {
        const int stride = a.H * a.K;
        TILE_ROLL
        for (long long row = at.row; row < at.end; row += U) {
            Few<T, V> g[U];
            TILE_UNROLL
            for (int u = 0; u < U; u++)
                if (row + u < at.end) g[u].template read<WIDE>(a.g + (row + u) * stride + at.column, at.n);
            TILE_UNROLL
            for (int u = 0; u < U; u++) {
                if (row + u >= at.end) continue;
                float y[V];
                TILE_UNROLL
                for (int e = 0; e < V; e++) y[e] = G::value(a, g[u][e], at.rate[e], at.bias[e]).o;
                write_floats<WIDE>(a.o + (row + u) * stride + at.column, at.n, y);
            }
        }
    }
    static TILE_FN void run(Shared&, const Args& a) {
        for_each_index<WARPS, THREADS>([&](int i) {
            const typename G::Place at = G::place(a, i);
            if (at.n <= 0) return;
            if (wide_rows(a.H * a.K, V))
                walk<true>(a, at);
            else
                walk<false>(a, at);
        });
    }
};

template <class T, int C, int K, int V>
struct GateBackward : Gate<T, C, K, V> {
    using G = Gate<T, C, K, V>;
    using Args = typename G::Args;
    struct Sums {
        float of[2][V];
    };
    struct Shared {
        float sums[SEGMENTS][2][COLUMNS * V];
    };

    template <bool WIDE>
    static TILE_FN void walk(const Args& a, const typename G::Place& at, Sums& sums) {
        const int stride = a.H * a.K;
        TILE_ROLL
        for (long long row = at.row; row < at.end; row += U) {
            Few<T, V> g[U];
            float d_o[U][V] = {};
            TILE_UNROLL
            for (int u = 0; u < U; u++) {
                if (row + u >= at.end) continue;
                const long long from = (row + u) * stride + at.column;
                g[u].template read<WIDE>(a.g + from, at.n);
                if (a.d_o) read_floats<WIDE>(d_o[u], a.d_o + from, at.n);
            }
            TILE_UNROLL
            for (int u = 0; u < U; u++) {
                if (row + u >= at.end) continue;
                float y[V];
                TILE_UNROLL
                for (int e = 0; e < V; e++) {
                    const typename G::Value value = G::value(a, g[u][e], at.rate[e], at.bias[e]);
                    y[e] = d_o[u][e] * value.by_g;
                    sums.of[0][e] = fused(d_o[u][e], value.by_rate, sums.of[0][e]);
                    sums.of[1][e] += y[e];
                }
                if (a.d_g) write_floats<WIDE>(a.d_g + (row + u) * stride + at.column, at.n, y);
            }
        }
    }
    static TILE_FN void run(Shared& s, const Args& a) {
        for_each_index<WARPS, THREADS>([&](int i) {
            const typename G::Place at = G::place(a, i);
            Sums sums = {};
            if (at.n > 0) {
                if (wide_rows(a.H * a.K, V))
                    walk<true>(a, at, sums);
                else
                    walk<false>(a, at, sums);
            }
            TILE_UNROLL
            for (int e = 0; e < V; e++) {
                s.sums[i / COLUMNS][0][i % COLUMNS * V + e] = sums.of[0][e];
                s.sums[i / COLUMNS][1][i % COLUMNS * V + e] = sums.of[1][e];
            }
        });
        if (!a.partial) return;
        barrier();
        const long long chunk = block_id() / a.slices;
        const int first = block_id() % a.slices * (COLUMNS * V), columns = a.H * a.K;
        for_each_index<WARPS, 2 * COLUMNS * V>([&](int i) {
            const int which = i / (COLUMNS * V), c = i % (COLUMNS * V);
            double sum = s.sums[0][which][c];
            TILE_UNROLL
            for (int segment = 1; segment < SEGMENTS; segment++) sum += s.sums[segment][which][c];
            if (first + c < columns) a.partial[(chunk * 2 + which) * columns + first + c] = static_cast<float>(sum);
        });
    }
};

template <class T, int C, int K, int V>
struct GateSums {
    using Args = gates::Args<T>;
    static constexpr int WARPS = gates::WARPS, MIN_BLOCKS = 1, WIDTH = 32;
    struct Shared {
        double scratch[THREADS];
        float total[WARPS];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int columns = a.H * a.K, h = block_id(), first = (h - a.H) * WIDTH;
        const long long chunks = (a.rows + C - 1) / C;
        if (h >= a.H) {
            if (!a.d_dt_bias) return;
            matrix_column_sums<WARPS, WIDTH>(s.scratch, a.partial + columns + first, 2ll * columns, chunks,
                                             columns - first, [&](int c, float sum) { a.d_dt_bias[first + c] = sum; });
            return;
        }
        if (!a.d_A_log) return;
        const float sum = tile::sum<WARPS>(s.total, chunks * a.K, [&](long long i) {
            return a.partial[i / a.K * 2 * columns + (long long)h * a.K + i % a.K];
        });
        for_each_index<WARPS, 1>([&](int) { a.d_A_log[h] = sum; });
    }
};

template <class T>
struct BetaArgs {
    const T* x;          // [n]
    const float* d_o;    // [n], BetaBackward only, or null for zeros
    float* o;            // [n], BetaForward only
    T* d_x;              // [n], BetaBackward only
    long long n;
    float scale;
};
static_assert(sizeof(BetaArgs<bf16>) == 4 * 8 + 8 + 8, "the launcher's twin must match");

template <class T, int C, int K, int V, bool BACK>
struct Beta {
    using Args = BetaArgs<T>;
    static constexpr int WARPS = gates::WARPS, MIN_BLOCKS = 1;
    struct Shared {
        float unused;
    };

    template <bool WIDE>
    static TILE_FN void piece(const Args& a, long long at, int n) {
        float x[V], y[V], d_o[V] = {};
        read_floats<WIDE>(x, a.x + at, n);
        if (BACK && a.d_o) read_floats<WIDE>(d_o, a.d_o + at, n);
        TILE_UNROLL
        for (int e = 0; e < V; e++) {
            const float near = small(x[e]);
            y[e] = a.scale * sigmoid(x[e], near);
            if (BACK) y[e] *= d_o[e] * sigmoid(-x[e], near);
        }
        if constexpr (BACK)
            write_floats<WIDE>(a.d_x + at, n, y);
        else
            write_floats<WIDE>(a.o + at, n, y);
    }
    static TILE_FN void run(Shared&, const Args& a) {
        for_each_index<WARPS, THREADS>([&](int i) {
            const long long at = ((long long)block_id() * THREADS + i) * V, left = a.n - at;
            if (left >= V)
                piece<true>(a, at, V);
            else if (left > 0)
                piece<false>(a, at, (int)left);
        });
    }
};
template <class T, int C, int K, int V>
struct BetaForward : Beta<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct BetaBackward : Beta<T, C, K, V, true> {};

}  // namespace gates

using gates::BetaBackward;
using gates::BetaForward;
using gates::GateBackward;
using gates::GateForward;
using gates::GateSums;
