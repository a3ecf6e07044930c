// Norms of rows, in f32 between loads and stores. With s = x + residual, r = 1 / sqrt(mean sum_i s_i^2 + eps), mean =
// 1 for l2_norm and 1 / D for rms_norm and rms_norm_gated, y = s r, act = 1 where there is no g, else g sigmoid(g) or
// sigmoid(g):
//   o = (y w + b) act(g)
// Backward: c = d_o act(g) w,  d_s' = r (c - s r^2 mean sum_i c_i s_i) + d_s,  which is d_x and d_residual;
//   d_g = d_o (y w + b) act'(g);  d_w = sum over rows of d_o act(g) y;  d_b = sum over rows of d_o act(g).
//
// G threads have a row between them, N threads make a block, which works on `each` rows, N / G at a time. Up to K
// columns, the pieces of the rows after these are on their way to shared memory meanwhile, each to a place that its
// thread alone uses, so that no barrier is needed; every thread keeps its share of w, b, d_w and d_b in registers. K =
// 0 takes any width, reads a row twice, from a cache as a rule, and leaves d_w and d_b in memory.
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

using norms::NormBackward;
using norms::NormForward;
using norms::NormSums;
