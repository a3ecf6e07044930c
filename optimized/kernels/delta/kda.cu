// kda, the delta rule after a decay of each key channel by itself: forward and backward, in chunks of C tokens.
//
// In a chunk, with E_i the decays of the channels from its start to token i, F_i those from token i to its end, D_ij
// from j to i, R those of the whole chunk, S the state before it and S' after it:
//   L_ij = k_i D_ij k_j (i > j)     P_ij = scale q_i D_ij k_j (i >= j)     X = (I + L diag(beta))^-1
//   w = X (v - (E k) S)             u = beta w
//   o = scale (E q) S + P u         S' = R S + (F k)^T u
// where products with E, F, D and R are by channel: channels.h has what makes pairs of them. Backward:
//   d_u = P^T d_o + (F k) dS'       d_v = X^T (beta d_u)
//   dS = R dS' + scale (E q)^T d_o - (E k)^T d_v
// and what remains is told in kda_backward.h.
//
// Rows are tokens p in [0, R); sequence n owns rows offsets[n] .. offsets[n+1] and chunks chunks[n] .. chunks[n+1]
// (that is ceil(length / C) of them; `total` = chunks[N]); sequence_of_chunk has `total` entries. Value head j reads key head
// j H / HV, and HV is a multiple of H.
// KP = the template's K, the real K padded; slices = ceil(V / template V).
//
// Workspaces, in elements of T, of the kernels one by one:
//   read_q, read_k, written_k (E q, E k, F k)   R * HV * K each      w    R * HV * V
//   inverse, scores                             total * HV * C * C each
//   states, d_states                            total * HV * V * KP each
// and in floats:
//   whole (R)                   total * HV * KP
//   partial_q, partial_k        R * HV * K each, when HV > H
// d_v is needed by KdaGradient: without a taker for it, it is a workspace too.
//
// or, in elements of T, what KdaKept leaves for KdaBackward:
//   states            total * HV * V * KP      w    R * HV * V
//   inverse, scores   total * HV * C * C each
//
// Launches (one-dimensional grids; a grid of 0 blocks is not launched)
//   both passes: KdaKept, KdaBackward   alone, where there is room for them and V is no wider than KP
//   P pieces instead of N sequences: as in gated_delta_rule.cu, with KdaPieces, which also looks at what Windows says
//   forward:     KdaFused     N * HV * slices       where there is room for it; then KdaFusedLate, likewise
//          or    KdaPrepare   total * HV
//                KdaForward   N * HV * slices
//   backward:    KdaPrepare   total * HV
//                KdaStates    N * HV * slices       only when d_q, d_k, d_g or d_beta is wanted
//                KdaReverse   N * HV * slices
//                KdaGradient  total * HV            only when d_q, d_k, d_g or d_beta is wanted
//                GroupSum     of prologue.cu, when HV > H: once for d_q, once for d_k
//
// Instances (T, C, KP, V), K <= KP. C and KP are the same throughout a pass; every kernel counts slices by its own V.
#include "channels.h"
#include "inverse.h"

namespace kda {
using namespace tile;
using delta::Choose;
using sequence::Part;
using sequence::part;
using delta::Span;
using delta::span;
using channels::get;
using channels::put;
using channels::Two;

template <class T>
struct PrepareArgs {
    const T *q, *k;         // [R, H, K]
    const float *g, *beta;  // [R, HV, K], [R, HV]
    T *read_q, *read_k, *written_k;
    float* whole;
    T *inverse, *scores;    // [total, HV, C, C]: X and P
    const long long *offsets, *chunks;
    const int* sequence_of_chunk;
    int H, HV, K;
    float scale;
};
static_assert(sizeof(PrepareArgs<float>) == 13 * 8 + 4 * 4, "twin of PrepareArgs");

template <class T, int C, int K, int V>
struct KdaPrepare {
    using Args = PrepareArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1;
    struct Shared {
        Tile<T, C, K> q, k, q_at, k_at, k_by;
        Tile<float, C, K> decay;
        Tile<float, C, C> system, late;
        Tile<T, C, C> out;
        float beta[C], whole[K], ends[C / channels::BLOCK * K];
    };

    static TILE_FN void squares(Shared& s, const Args& a) {
        channels::Pairs<WARPS, T, C, K> pairs;
        if (pairs.form(s.q, s.k, s.q_at, s.k_at, s.k_by, s.decay, s.ends))
            pairs.add_late(s.q, s.k, s.decay, s.late, s.system);
        pairs.scores.for_each([&](float& y, int, int) { y *= a.scale; });
        pairs.system.for_each([&](float& y, int, int j) { y *= s.beta[j]; });
        store(s.out, pairs.scores);
        store(s.system, pairs.system);
        barrier();
        const long long out = (long long)block_id() * C * C;
        store_global<WARPS>(a.scores + out, C, s.out, C, C);
        invert_unit_lower<WARPS>(s.out, s.system, [](float y, int, int) { return y; });
        barrier();
        store_global<WARPS>(a.inverse + out, C, s.out, C, C);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int chunk = block_id() / a.HV, hv = block_id() % a.HV, hk = hv / (a.HV / a.H);
        const int n = a.sequence_of_chunk[chunk];
        const Span at = span<C>(a.offsets, n, chunk - a.chunks[n]);
        const long long ldk = (long long)a.H * a.K, ld = (long long)a.HV * a.K;
        const long long key = at.row * ldk + (long long)hk * a.K, head = at.row * a.HV + hv;
        load_async<WARPS>(s.q, a.q + key, ldk, at.count, a.K);
        load_async<WARPS>(s.k, a.k + key, ldk, at.count, a.K);
        load_async<WARPS>(s.decay, a.g + head * a.K, ld, at.count, a.K);
        load_async<WARPS>(s.beta, a.beta + head, a.HV, at.count);
        commit();
        wait<0>();
        barrier();
        channels::decays<WARPS, T>(s.decay, s.whole);
        barrier();
        for_each_index<WARPS, K>([&](int c) { a.whole[(long long)block_id() * K + c] = s.whole[c]; });
        squares(s, a);
        channels::for_each_from_start<WARPS>(s.decay, [&](int i, int c, const Two& x) {
            put(s.q_at, i, c, get(s.q, i, c) * x);
            put(s.k_at, i, c, get(s.k, i, c) * x);
        });
        barrier();
        store_global<WARPS>(a.read_q + head * a.K, ld, s.q_at, at.count, a.K);
        store_global<WARPS>(a.read_k + head * a.K, ld, s.k_at, at.count, a.K);
        barrier();
        channels::for_each_to_end<WARPS>(s.decay, [&](int i, int c, const Two& x) {
            put(s.k_at, i, c, get(s.k, i, c) * x);
        });
        barrier();
        store_global<WARPS>(a.written_k + head * a.K, ld, s.k_at, at.count, a.K);
    }
};

template <class T>
struct SweepArgs {
    const T *read_q, *read_k, *written_k;  // [R, HV, K]; States does not read the first
    const T* v;                            // [R, HV, V]
    const float *beta, *whole;             // [R, HV], [total, HV, KP]
    const float* h0;                       // [N, HV, K, V] or null
    const T *inverse, *scores;             // [total, HV, C, C]; States does not read scores
    T* o;                                  // [R, HV, V]      Forward only
    float* ht;                             // [N, HV, K, V]   Forward only, or null
    T* states;                             // [total, HV, V, KP] before each chunk, States only
    T* w;                                  // [R, HV, V]      States only
    const long long *offsets, *chunks;
    int HV, K, V;
    float scale;
};
static_assert(sizeof(SweepArgs<float>) == 15 * 8 + 4 * 4, "twin of SweepArgs");

// one block per (sequence, value head, slice of V); the state lies transposed, [V, K], in accumulators
template <class T, int C, int K, int V, bool STATES>
struct Sweep {
    using Args = SweepArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    struct Outputs {
        Tile<T, C, K> q;
        Tile<T, C, C> scores;
    };
    struct Nothing {};
    struct Stage : Choose<STATES, Nothing, Outputs>::type {
        Tile<T, C, K> read, written;
        Tile<T, C, V> v;
        Tile<T, C, C> inverse;
        float beta[C], whole[K];
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Left {
        Tile<T, V, K> state;
    };
    struct Shared : Choose<STATES, Left, Nothing>::type {
        Stage stage[STAGES];
    };
    using State = Acc<V, K, WARPS>;
    using Values = Acc<V, C, WARPS>;

    struct Place {
        int sequence, hv, v0;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long ldk = (long long)a.HV * a.K, ldv = (long long)a.HV * a.V;
        const long long head = rows.row * a.HV + at.hv, chunk = (a.chunks[at.sequence] + c) * a.HV + at.hv;
        load_async<WARPS>(x.read, a.read_k + head * a.K, ldk, rows.count, a.K);
        load_async<WARPS>(x.written, a.written_k + head * a.K, ldk, rows.count, a.K);
        load_async<WARPS>(x.v, a.v + head * a.V + at.v0, ldv, rows.count, a.V - at.v0);
        load_async<WARPS>(x.inverse, a.inverse + chunk * C * C, C, C, C);
        load_async<WARPS>(x.beta, a.beta + head, a.HV, rows.count);
        load_async<WARPS>(x.whole, a.whole + chunk * K, 1, K);
        if constexpr (!STATES) {
            load_async<WARPS>(x.q, a.read_q + head * a.K, ldk, rows.count, a.K);
            load_async<WARPS>(x.scores, a.scores + chunk * C * C, C, C, C);
        }
    }

    // w^T = (v^T - S^T (E k)^T) X^T
    static TILE_FN void residual(Values& w, const State& S, Stage& x) {
        Values r;
        r.fill(0);
        product(r, rounded<T>(S), t(x.read));
        zip(r, t(x.v), [&](float& y, float v, int, int) { y = v - y; });
        w.fill(0);
        product<UPPER_B>(w, rounded<T>(r), t(x.inverse));
    }

    // rows of a tensor [R, HV, V] from a transposed accumulator, by way of x.v
    static TILE_FN void write(T* out, Stage& x, const Values& acc, const Args& a, const Place& at, const Span& rows) {
        barrier();
        store(t(x.v), acc);
        barrier();
        store_global<WARPS>(out + (rows.row * a.HV + at.hv) * a.V + at.v0, (long long)a.HV * a.V, x.v, rows.count,
                            a.V - at.v0);
    }

    static TILE_FN void step(State& S, Shared& s, Stage& x, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long chunk = (a.chunks[at.sequence] + c) * a.HV + at.hv;
        Values w;
        residual(w, S, x);
        if constexpr (STATES) {
            store_global(a.states + (chunk * a.V + at.v0) * K, K, s.state, S, a.V - at.v0, K);
            write(a.w, x, w, a, at, rows);
        }
        w.for_each([&](float& y, int, int i) { y *= x.beta[i]; });
        if constexpr (!STATES) {
            Values o;
            o.fill(0);
            product(o, rounded<T>(S), t(x.q));
            o.for_each([&](float& y, int, int) { y *= a.scale; });
            product<UPPER_B>(o, rounded<T>(w), t(x.scores));
            write(a.o, x, o, a, at, rows);
        }
        S.for_each([&](float& y, int, int c) { y *= x.whole[c]; });
        product(S, rounded<T>(w), x.written);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int slices = (a.V + V - 1) / V, head = block_id() / slices;
        const Place at = {head / a.HV, head % a.HV, block_id() % slices * V};
        const int n = (int)(a.chunks[at.sequence + 1] - a.chunks[at.sequence]);
        const long long state = (long long)head * a.K * a.V + at.v0;
        State S;
        if (a.h0)
            load(S, a.h0 + state, 1, a.V, a.V - at.v0, a.K);
        else
            S.fill(0);
        for (int c = 1 - STAGES; c < n; c++) {
            const int next = c + STAGES - 1;
            if (next < n) fetch(s.stage[next % STAGES], a, at, next);
            commit();
            if (STAGES > 1 && c < 0) continue;
            wait<STAGES - 1>();
            publish();
            step(S, s, s.stage[c % STAGES], a, at, c);
            barrier();
        }
        if constexpr (!STATES)
            if (a.ht) store_global(a.ht + state, 1, a.V, S, a.V - at.v0, a.K);
    }
};
template <class T, int C, int K, int V>
struct KdaForward : Sweep<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct KdaStates : Sweep<T, C, K, V, true> {};

}  // namespace kda

#include "kda_backward.h"
#include "kda_forward.h"
#include "kda_fused.h"

using kda::KdaForward;
using kda::KdaGradient;
using kda::KdaPrepare;
using kda::KdaReverse;
using kda::KdaStates;
