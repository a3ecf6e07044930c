// One token of each sequence, from a state to a state: a step of generation. Nothing is a product of matrices here; a
// step reads a state once, writes it once, and that takes its time. In f32 throughout but for what is stored as T.
//
// With S the state of a sequence and head, K x V, and D what its gates leave of each element:
//   S' = D S + k w^T,   o = scale S'^T q
// where w is v, or what a delta rule corrects by:
//   w = beta (v - (D S)^T k),   so that   o = scale ((D S)^T q + (q.k) w)
// and both sums over the keys are taken in one pass. With z' = z + k, a normalised step divides by
// scale q.z' + 1e-10. A delta rule may scale q and k to length 1 first, by factors of both sums.
//
// A block takes V columns of a state with all K rows of it; an item has four neighbouring columns of ROWS neighbouring
// rows in registers from their load to their store. A rule says what there is: see Rule.
//
// grid N HV slices, slices = ceil(V / the template's V)
// workspace: none; a packed call's offsets are a table of N + 1 numbers of 64 bits.
#pragma once

#include "../tile/tile.h"

namespace step {
using namespace tile;

// Rows are tokens p of [B T, ...]; sequence n has the row offsets[n], and none where that is offsets[n + 1]. Without
// offsets it has the row n. Value head j reads key head j H / HV. What a rule does not have is null.
template <class T, class G>
struct Args {
    const T *q, *k, *v;            // [R, H, K], [R, H, K], [R, HV, V]
    const G* g;                    // [R, HV], or, by channel, [R, HV, K]; null for 0
    const T* gv;                   // [R, HV, V] or null for 0
    const float* g_gamma;          // [HV] or null for 0
    const float* beta;             // [R, HV]
    const float *A_log, *dt_bias;  // [HV], [HV] or [HV, K] or null for 0: the gate is raw where there is A_log
    const float *h0, *z0;          // [N, HV, K, V], [N, HV, K], each may be null for 0
    T* o;                          // [R, HV, V] or null
    float *ht, *zt;                // as h0 and z0, or null
    const long long* offsets;      // [N + 1] or null
    int H, HV, K, V, slices, unit;  // unit: whether q and k are scaled to length 1
    float scale, factor;           // beta is factor sigmoid(beta) where factor is not 0
};
static_assert(sizeof(Args<bf16, float>) == 15 * 8 + 8 * 4, "the launcher's twin must match");

// What a rule has: log decays of keys' channels instead of one for a head, log decays of values, the correction of a
// delta rule, the denominator.
template <bool CHANNELS_, bool VALUES_, bool DELTA_, bool NORMALIZED_>
struct Rule {
    static constexpr bool CHANNELS = CHANNELS_, VALUES = VALUES_, DELTA = DELTA_, NORMALIZED = NORMALIZED_;
};

// N neighbours of a row as they lie in memory, zero where there are none. What is read is converted where it is used,
// so that no load waits for another.
template <class X, int N>
struct Some {
    static constexpr int EACH = N * sizeof(X) <= 16 ? N : 16 / sizeof(X);
    Few<X, EACH> few[N / EACH];

    TILE_FN float operator[](int i) const { return few[i / EACH][i % EACH]; }
    template <bool WIDE>
    TILE_FN void read(const X* ptr, int n) {
        const float zeros[EACH] = {};
        TILE_UNROLL
        for (int i = 0; i < N / EACH; i++) {
            few[i].set(zeros);
            if (ptr && (!WIDE || n > 0)) few[i].template read<WIDE>(ptr + i * EACH, n - i * EACH);
        }
    }
};

template <class T, class G, int K, int V, class R>
struct Walk {
    using Args = step::Args<T, G>;
    static constexpr int EACH = 4, ACROSS = V / EACH, DOWN = 16, ROWS = K / DOWN, ITEMS = ACROSS * DOWN;
    static constexpr int WARPS = ITEMS / TILE_LANES, MIN_BLOCKS = K <= 128 ? 4 : 2;
    // by column what q reads and what k reads; q.k, q.q, k.k; q.z
    static constexpr int OF_K = EACH, DOTS = R::DELTA ? 2 * EACH : EACH;
    static constexpr int SUMS = DOTS + (R::DELTA ? 3 : R::NORMALIZED ? 1 : 0);

    struct Item {
        Some<float, EACH> before[ROWS];
        Some<T, ROWS> q, k;
        Some<T, EACH> v, gv;
        Some<G, ROWS> g;
        Some<float, ROWS> z;
        float beta, s[ROWS][EACH], sums[SUMS];
    };
    struct Shared {
        float scratch[SUMS * WARPS * ACROSS];
    };
    // where the block's slice lies
    struct Place {
        int n, j, slice;          // sequence, value head, first column
        long long state, row;     // element of [N, HV, K, V], token; the latter is -1 where there is none
    };
    static TILE_FN Place place(const Args& a) {
        const int head = block_id() / a.slices, slice = block_id() % a.slices * V;
        const int n = head / a.HV, j = head % a.HV;
        const long long row = a.offsets ? a.offsets[n] : n;
        const bool some = !a.offsets || row < a.offsets[n + 1];
        return {n, j, slice, (long long)head * a.K * a.V + slice, some ? row : -1};
    }
    static TILE_FN int column(int item) { return item % ACROSS * EACH; }
    static TILE_FN int first_row(int item) { return item / ACROSS * ROWS; }

    template <class X>
    static TILE_FN const X* after(const X* ptr, long long elements) {
        return ptr ? ptr + elements : nullptr;
    }

    // all that there is to read, one load behind the other
    template <bool WIDE>
    static TILE_FN void load(Item& x, const Args& a, const Place& at, int item) {
        const int r0 = first_row(item), c = column(item), rows = a.K - r0, columns = a.V - at.slice - c;
        const float* from = after(a.h0, at.state + (long long)r0 * a.V + c);
        TILE_UNROLL
        for (int r = 0; r < ROWS; r++)
            x.before[r].template read<WIDE>(r < rows ? after(from, (long long)r * a.V) : nullptr, columns);
        if constexpr (R::NORMALIZED)
            x.z.template read<WIDE>(after(a.z0, ((long long)at.n * a.HV + at.j) * a.K + r0), rows);
        if (at.row < 0) return;
        const long long head = at.row * a.HV + at.j, value = head * a.V + at.slice + c;
        const long long key = (at.row * a.H + at.j / (a.HV / a.H)) * a.K + r0;
        x.q.template read<WIDE>(a.q + key, rows);
        x.k.template read<WIDE>(a.k + key, rows);
        x.v.template read<WIDE>(a.v + value, columns);
        if constexpr (R::CHANNELS) x.g.template read<WIDE>(after(a.g, head * a.K + r0), rows);
        if constexpr (R::VALUES) x.gv.template read<WIDE>(after(a.gv, value), columns);
        if constexpr (R::DELTA) x.beta = a.beta[head];
    }
    template <bool WIDE>
    static TILE_FN void store(const Item& x, const Args& a, const Place& at, int item) {
        const int r0 = first_row(item), c = column(item), rows = a.K - r0, columns = a.V - at.slice - c;
        if (!a.ht || columns <= 0) return;
        float* to = a.ht + at.state + (long long)r0 * a.V + c;
        TILE_UNROLL
        for (int r = 0; r < ROWS; r++)
            if (r < rows) write_floats<WIDE>(to + (long long)r * a.V, columns, x.s[r]);
    }

    // the decays of the item's rows
    template <bool WIDE>
    static TILE_FN void decays(float (&d)[ROWS], const Item& x, const Args& a, const Place& at, int r0) {
        const float g = R::CHANNELS || !a.g ? 0.f : to_float(a.g[at.row * a.HV + at.j]);
        const float of_head = g + (a.g_gamma ? a.g_gamma[at.j] : 0.f);
        TILE_UNROLL
        for (int r = 0; r < ROWS; r++) d[r] = R::CHANNELS ? x.g[r] : of_head;
        if constexpr (R::DELTA) {
            if (a.A_log) {
                const float rate = -exp<float>(a.A_log[at.j]);
                Some<float, ROWS> bias;
                if constexpr (R::CHANNELS)
                    bias.template read<WIDE>(after(a.dt_bias, (long long)at.j * a.K + r0), a.K - r0);
                const float all = R::CHANNELS || !a.dt_bias ? 0.f : a.dt_bias[at.j];
                TILE_UNROLL
                for (int r = 0; r < ROWS; r++) d[r] = rate * R::softplus(d[r] + (R::CHANNELS ? bias[r] : all));
            }
        }
        TILE_UNROLL
        for (int r = 0; r < ROWS; r++) d[r] = exp<float>(d[r]);
    }

    // D S, for a delta rule; else S' itself. And the item's shares of the sums.
    template <bool WIDE>
    static TILE_FN void decay(Item& x, const Args& a, const Place& at, int item) {
        float d[ROWS], of_values[EACH];
        decays<WIDE>(d, x, a, at, first_row(item));
        if constexpr (R::VALUES) {
            TILE_UNROLL
            for (int e = 0; e < EACH; e++) of_values[e] = exp<float>(x.gv[e]);
        }
        TILE_UNROLL
        for (int i = 0; i < SUMS; i++) x.sums[i] = 0;
        TILE_UNROLL
        for (int r = 0; r < ROWS; r++) {
            const float q = x.q[r], k = x.k[r];
            TILE_UNROLL
            for (int e = 0; e < EACH; e++) {
                float& s = x.s[r][e];
                s *= d[r];
                if constexpr (R::VALUES) s *= of_values[e];
                if constexpr (R::DELTA) x.sums[OF_K + e] = fused(k, s, x.sums[OF_K + e]);
                if constexpr (!R::DELTA) s = fused(k, x.v[e], s);
                x.sums[e] = fused(q, s, x.sums[e]);
            }
            if constexpr (R::DELTA) {
                x.sums[DOTS] = fused(q, k, x.sums[DOTS]);
                x.sums[DOTS + 1] = fused(q, q, x.sums[DOTS + 1]);
                x.sums[DOTS + 2] = fused(k, k, x.sums[DOTS + 2]);
            }
        }
    }

    // z' of the item's rows, once for each head in memory, and its share of q.z'
    template <bool WIDE>
    static TILE_FN void denominator(Item& x, const Args& a, const Place& at, int item) {
        const int r0 = first_row(item), left = a.K - r0;
        float z[ROWS];
        TILE_UNROLL
        for (int r = 0; r < ROWS; r++) {
            z[r] = x.z[r];
            if (at.row < 0) continue;
            z[r] += x.k[r];
            x.sums[DOTS] = fused(x.q[r], z[r], x.sums[DOTS]);
        }
        if (a.zt && at.slice == 0 && column(item) == 0 && left > 0)
            write_floats<WIDE>(a.zt + ((long long)at.n * a.HV + at.j) * a.K + r0, left, z);
    }

    // what sums over all rows give: the correction of a delta rule, and o
    template <bool WIDE>
    static TILE_FN void finish(Item& x, const Args& a, const Place& at, int item) {
        const int c = at.slice + column(item);
        float o[EACH];
        if constexpr (R::DELTA) {
            const float by_q = a.unit ? inverse_root<float>(x.sums[DOTS + 1] + 1e-6f) : 1.f;
            const float by_k = a.unit ? inverse_root<float>(x.sums[DOTS + 2] + 1e-6f) : 1.f;
            const float beta = a.factor != 0 ? a.factor * R::sigmoid(x.beta) : x.beta;
            TILE_UNROLL
            for (int e = 0; e < EACH; e++) {
                const float w = beta * fused(-by_k, x.sums[OF_K + e], x.v[e]) * by_k;
                TILE_UNROLL
                for (int r = 0; r < ROWS; r++) x.s[r][e] = fused(x.k[r], w, x.s[r][e]);
                o[e] = a.scale * by_q * fused(x.sums[DOTS], w, x.sums[e]);
            }
        } else {
            const float by = R::NORMALIZED ? a.scale / fused(a.scale, x.sums[SUMS - 1], 1e-10f) : a.scale;
            TILE_UNROLL
            for (int e = 0; e < EACH; e++) o[e] = by * x.sums[e];
        }
        if (a.o && first_row(item) == 0 && c < a.V)
            write_floats<WIDE>(a.o + (at.row * a.HV + at.j) * a.V + c, a.V - c, o);
    }

    template <bool WIDE>
    static TILE_FN void walk(Shared& s, const Args& a) {
        Own<Item, ITEMS, WARPS> items;
        const Place at = place(a);
        items.for_each([&](Item& x, int i) { load<WIDE>(x, a, at, i); });
        items.for_each([&](Item& x, int) {
            TILE_UNROLL
            for (int r = 0; r < ROWS; r++) {
                TILE_UNROLL
                for (int e = 0; e < EACH; e++) x.s[r][e] = x.before[r][e];
            }
        });
        if (at.row >= 0) {
            items.for_each([&](Item& x, int i) { decay<WIDE>(x, a, at, i); });
        }
        if constexpr (R::NORMALIZED) items.for_each([&](Item& x, int i) { denominator<WIDE>(x, a, at, i); });
        if (at.row >= 0) {
            strided_sums<ACROSS, SUMS>(items, s.scratch, [](Item& x) -> float(&)[SUMS] { return x.sums; });
            items.for_each([&](Item& x, int i) { finish<WIDE>(x, a, at, i); });
        }
        items.for_each([&](Item& x, int i) { store<WIDE>(x, a, at, i); });
    }
    static TILE_FN void run(Shared& s, const Args& a) {
        if (wide_rows(a.K, ROWS) && wide_rows(a.V, EACH))
            walk<true>(s, a);
        else
            walk<false>(s, a);
    }
};

}  // namespace step
