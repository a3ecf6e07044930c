// gated_delta_rule and, with g null, delta_rule: forward and backward, in chunks of C tokens.
//
// In a chunk, G is the running sum of g, D_ij = exp(G_i - G_j) for i >= j, S the state before it and S' after it:
//   L = strict_lower(k k^T . D)     P = scale lower(q k^T . D)     X = (I + L diag(beta))^-1
//   r = v - exp(G) k S              w = X r                        u = beta w
//   o = scale exp(G) q S + P u      S' = exp(G_last) S + (exp(G_last - G) k)^T u
// so w_i = v_i - h_i'^T k_i is the recurrence's own residual, and nothing is divided by beta. Backward:
//   d_u = P^T d_o + exp(G_last - G) k dS'      d_v = X^T (beta d_u)
//   dS = exp(G_last) dS' + scale (exp(G) q)^T d_o - (exp(G) k)^T d_v
//   Y = P . (d_o w^T) - L . (d_v w^T)          d_beta_j = sum_i Y_ij + exp(G_last - G_j) k_j dS' w_j
// and d_g_t sums what crosses from before t to t or later; no sum cancels against another.
// Every exponent is a sum of gates over a stretch of tokens, never the negative of one.
//
// Rows are tokens p in [0, R); sequence n owns rows offsets[n] .. offsets[n+1] and chunks chunks[n] .. chunks[n+1] (that is
// ceil(length / C) of them; `total` = chunks[N]); sequence_of_chunk has `total` entries. Value head j reads key head
// j H / HV, and HV is a multiple of H.
// KP = the template's K, the real K padded; slices = ceil(V / template V).
//
// Workspaces, in elements of T:
//   inverse, scores    total * HV * C * C each       w    R * HV * V
// and in floats, because the gradient of a gate is an inner product of states and may be all there is to it:
//   states, d_states   total * HV * V * KP each
//   partial_q, partial_k   R * HV * K each, when HV > H
// d_v is needed by GatedDeltaGradient: without a taker for it, it is a workspace too.
//
// or, in elements of T and with chunks of 64 tokens, what GatedDeltaKept leaves for GatedDeltaBackward:
//   states             total * HV * V * KP           w    R * HV * V
//   inverse, scores    total * HV * 2 * 32 * 32 each
//
// Launches (one-dimensional grids; a grid of 0 blocks is not launched)
//   both passes: GatedDeltaKept, GatedDeltaBackward   alone, where there is room for them and V is no wider than KP
//   P pieces instead of N sequences, where heads are few or leave part of the device idle (part.h): Windows of windows.cu
//              where there are gates; few heads: GatedDeltaPieces, MappedStates of pieces.cu, then Fused or Kept; after
//              Kept, Backward without states, MappedStates back, then Backward
//   forward:   GatedDeltaFused     N * HV * slices       alone, where there is room for it
//          or  GatedDeltaPrepare   total * HV
//              GatedDeltaForward   N * HV * slices
//   backward:  GatedDeltaPrepare   total * HV
//              GatedDeltaStates    N * HV * slices        only when d_q, d_k, d_g or d_beta is wanted
//              GatedDeltaReverse   N * HV * slices
//              GatedDeltaGradient  total * HV             only when d_q, d_k, d_g or d_beta is wanted
//              GroupSum            of prologue.cu         when HV > H: once for d_q, once for d_k
//
// Instances (T, C, KP, V), K <= KP. C and KP are the same throughout a pass; every kernel counts slices by its own V, which
// only cuts the value width and so may be any of 16, 32, 64, 128 that fits.
//   CUDA   bf16, f16: (64, 64, 64) (64, 128, 64) (32, 256, 64), Reverse also with V = 128 for KP = 128; Gradient's V is 32
//          at most, 16 for KP = 256; Fused, Kept, Pieces: (32, 64, 64) (32, 128, 128);
//          Backward: (64, 64, 64) (64, 128, 128)
//          float:     (32, 64, 32) (32, 128, 32) (16, 256, 32)
//   HIP    bf16, f16: (32, 64, 32) (32, 128, 32) (16, 256, 16)    float: (16, 64, 16) (16, 128, 16) (16, 256, 16)
//   host   any of these
#include "span.h"

namespace delta {

// without gates nothing decays
template <int W, int C>
TILE_FN void load_gates(float (&x)[C], const float* g, long long first, int heads, int count) {
    load_async<W>(x, g ? g + first : g, heads, g ? count : 0);
}

// exp of the gates' sums from the chunk's start to each token and from each token to the chunk's end
template <class T, int C>
struct Decays {
    Prefix<C> G;
    float from_start[C], to_end[C];

    template <int W>
    TILE_FN void scan(const float (&g)[C]) {
        prefix_sum<W>(G, g);
        barrier();
        for_each_index<W, C>([&](int i) {
            from_start[i] = exp<T>(G[i]);
            to_end[i] = exp<T>(G.between(C - 1, i));
        });
        barrier();
    }
    TILE_FN float between(int i, int j) const { return G.template decay<T>(i, j); }
    TILE_FN float whole() const { return from_start[C - 1]; }
};

template <class T>
struct PrepareArgs {
    const T *q, *k;            // [R, H, K]; q null: no scores
    const float *g, *beta;     // [R, HV]; g, here and below, may be null
    T *inverse, *scores;       // [total, HV, C, C]: X and P
    const long long *offsets, *chunks;
    const int* sequence_of_chunk;
    int H, HV, K;
    float scale;
};
static_assert(sizeof(PrepareArgs<float>) == 9 * 8 + 4 * 4, "twin of PrepareArgs");

template <class T, int C, int K, int V>
struct GatedDeltaPrepare {
    using Args = PrepareArgs<T>;
    static constexpr int WARPS = C / 16, MIN_BLOCKS = 1;
    struct Shared {
        Tile<T, C, K> q, k;
        Tile<float, C, C> system;
        Tile<T, C, C> out;
        float g[C], beta[C];
        Decays<T, C> decays;
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int chunk = block_id() / a.HV, hv = block_id() % a.HV, hk = hv / (a.HV / a.H);
        const int n = a.sequence_of_chunk[chunk];
        const Span at = span<C>(a.offsets, n, chunk - a.chunks[n]);
        const long long ld = (long long)a.H * a.K, key = at.row * ld + (long long)hk * a.K, head = at.row * a.HV + hv;
        load_async<WARPS>(s.q, a.q + key, ld, at.count, a.K);
        load_async<WARPS>(s.k, a.k + key, ld, at.count, a.K);
        load_gates<WARPS>(s.g, a.g, head, a.HV, at.count);
        load_async<WARPS>(s.beta, a.beta + head, a.HV, at.count);
        commit();
        wait<0>();
        barrier();
        s.decays.template scan<WARPS>(s.g);

        Acc<C, C, WARPS> p, l, decays;
        p.fill(0);
        l.fill(0);
        mma_both<LOWER_OUT>(p, l, s.q, s.k, t(s.k));
        decays.for_each([&](float& d, int i, int j) { d = s.decays.between(i, j); });
        zip(l, decays, [&](float& y, float d, int i, int j) { y = i > j ? y * d * s.beta[j] : 0.f; });
        zip(p, decays, [&](float& y, float d, int i, int j) { y = i >= j ? y * d * a.scale : 0.f; });
        store(s.system, l);
        store(s.out, p);
        barrier();
        const long long out = (long long)block_id() * C * C;
        store_global<WARPS>(a.scores + out, C, s.out, C, C);
        invert_unit_lower<WARPS>(s.out, s.system, [](float y, int, int) { return y; });
        barrier();
        store_global<WARPS>(a.inverse + out, C, s.out, C, C);
    }
};

template <class T>
struct SweepArgs {
    const T *q, *k;                    // [R, H, K]; States does not read q
    const T *v;                        // [R, HV, V]
    const float *g, *beta;             // [R, HV]
    const float* h0;                   // [N, HV, K, V] or null
    const T *inverse, *scores;         // [total, HV, C, C]; States does not read scores
    T* o;                              // [R, HV, V]      Forward only
    float* ht;                         // [N, HV, K, V]   Forward only, or null
    float* states;                     // [total, HV, V, KP] before each chunk, States only
    T* w;                              // [R, HV, V]      States only
    const long long *offsets, *chunks;
    int H, HV, K, V;
    float scale;
};
static_assert(sizeof(SweepArgs<float>) == 14 * 8 + 5 * 4 + 4, "twin of SweepArgs");

// one block per (sequence, value head, slice of V); the state lies transposed, [V, K], in accumulators, so that every
// product splits by rows of V and the state is a left operand without leaving them
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
        Tile<T, C, K> k;
        Tile<T, C, V> v;
        Tile<T, C, C> inverse;
        float g[C], beta[C];
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Decays<T, C>) <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Decays<T, C> decays;
    };
    using State = Acc<V, K, WARPS>;
    using Values = Acc<V, C, WARPS>;

    struct Place {
        int sequence, hv, hk, v0;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long ldk = (long long)a.H * a.K, ldv = (long long)a.HV * a.V;
        const long long key = rows.row * ldk + (long long)at.hk * a.K, head = rows.row * a.HV + at.hv;
        const long long square = ((a.chunks[at.sequence] + c) * a.HV + at.hv) * C * C;
        load_async<WARPS>(x.k, a.k + key, ldk, rows.count, a.K);
        load_async<WARPS>(x.v, a.v + head * a.V + at.v0, ldv, rows.count, a.V - at.v0);
        load_async<WARPS>(x.inverse, a.inverse + square, C, C, C);
        load_gates<WARPS>(x.g, a.g, head, a.HV, rows.count);
        load_async<WARPS>(x.beta, a.beta + head, a.HV, rows.count);
        if constexpr (!STATES) {
            load_async<WARPS>(x.q, a.q + key, ldk, rows.count, a.K);
            load_async<WARPS>(x.scores, a.scores + square, C, C, C);
        }
    }

    // w^T = (v^T - S^T k^T diag(exp G)) X^T
    static TILE_FN void residual(Values& w, const State& S, Stage& x, const Decays<T, C>& decays) {
        Values r;
        r.fill(0);
        product(r, rounded<T>(S), t(x.k));
        zip(r, t(x.v), [&](float& y, float v, int, int i) { y = v - decays.from_start[i] * y; });
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

    static TILE_FN void step(State& S, Stage& x, const Decays<T, C>& decays, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long chunk = (a.chunks[at.sequence] + c) * a.HV + at.hv;
        Values w;
        residual(w, S, x, decays);
        if constexpr (STATES) {
            store_global(a.states + (chunk * a.V + at.v0) * K, K, 1, S, a.V - at.v0, K);
            write(a.w, x, w, a, at, rows);
        }
        w.for_each([&](float& y, int, int i) { y *= x.beta[i]; });
        if constexpr (!STATES) {
            Values o;
            o.fill(0);
            product(o, rounded<T>(S), t(x.q));
            o.for_each([&](float& y, int, int i) { y *= a.scale * decays.from_start[i]; });
            product<UPPER_B>(o, rounded<T>(w), t(x.scores));
            write(a.o, x, o, a, at, rows);
        }
        w.for_each([&](float& y, int, int i) { y *= decays.to_end[i]; });
        const float whole = decays.whole();
        S.for_each([whole](float& y, int, int) { y *= whole; });
        product(S, rounded<T>(w), x.k);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int slices = (a.V + V - 1) / V, head = block_id() / slices;
        const int hv = head % a.HV;
        const Place at = {head / a.HV, hv, hv / (a.HV / a.H), block_id() % slices * V};
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
            Stage& x = s.stage[c % STAGES];
            s.decays.template scan<WARPS>(x.g);
            step(S, x, s.decays, a, at, c);
            barrier();
        }
        if constexpr (!STATES)
            if (a.ht) store_global(a.ht + state, 1, a.V, S, a.V - at.v0, a.K);
    }
};
template <class T, int C, int K, int V>
struct GatedDeltaForward : Sweep<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct GatedDeltaStates : Sweep<T, C, K, V, true> {};

}  // namespace delta

#include "gated_delta_rule_backward.h"
#include "gated_delta_rule_forward.h"
#include "gated_delta_rule_fused.h"

using delta::GatedDeltaForward;
using delta::GatedDeltaGradient;
using delta::GatedDeltaPrepare;
using delta::GatedDeltaReverse;
using delta::GatedDeltaStates;
