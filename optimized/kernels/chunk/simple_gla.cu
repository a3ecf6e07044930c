// simple_gla: h_t = exp(g_t) h_{t-1} + k_t v_t^T,  o_t = scale h_t^T q_t, chunk by chunk.
// With G the sum of g within a chunk up to and including a token, S the state before the chunk:
//   O  = diag(scale exp G) Q S + P V,                       P_ij = scale exp(G_i - G_j) (q_i . k_j) for i >= j
//   S' = exp(G_last) S + (diag(exp(G_last - G)) K)^T V.
//
// Tokens are rows p of [B T, H, .]; sequence n owns the rows offsets[n] .. offsets[n+1]. All grids are one-dimensional.
// slices = ceil(V / kernel's V), N sequences, chunks[n] = sum of ceil(length / C) over the sequences before n, total =
// chunks[N]. An empty grid must not be launched.
//
// forward:   SimpleGlaForward                      grid N H slices
// backward:  1. SimpleGlaStates                    grid N H slices    left = k, right = v, initial = h0, last = null
//            2. SimpleGlaStateGradients            grid N H slices    left = q, right = d_o, initial = d_ht, last = d_h0
//            3. SimpleGlaGradients                 grid total H       (not needed when only d_h0 is wanted; then 1 neither)
// workspace: states and d_states, f32, total H V K elements each (no initialisation needed).
// The three kernels of a backward pass share C; 3 may differ from 1 and 2 in its V.
//
// shapes <T, C, K, V>: K >= the key width; V cuts the value width into slices, first for forward, states and state
// gradients, then for the gradients. The host takes all of them.
//               K = 64            K = 128           K = 256
//   bf16, f16   C 64, V 64, 64    C 64, V 64, 64    C 32, V 64, 32    CUDA
//   float       C 32, V 32, 32    C 16, V 32, 16    C 16, V 32, 16    CUDA
//   bf16, f16   C 32, V 64, 32    C 32, V 64, 32    C 16, V 64, 16    HIP
//   float       C 16, V 32, 16    C 16, V 32, 16    C 16, V 16, 16    HIP
#include "sequence.h"

namespace simple_gla {
using namespace sequence;

// the gate of a chunk's tokens, from whichever source there is; zero past the sequence's end
template <int W, int C>
TILE_FN void load_gate(float (&x)[C], const float* g, const float* g_gamma, const Sequence& seq, int token, int H, int h) {
    const int left = seq.length - token;
    if (g) {
        const Rows<const float> at(g, seq, token, H, h, 1);
        load_async<W>(x, at.ptr, at.ld, left);
    } else {
        load_async<W>(x, g_gamma + (g_gamma ? h : 0), 0, g_gamma ? left : 0);
    }
}

template <class T>
struct ForwardArgs {
    const T *q, *k, *v;               // [B T, H, K], [B T, H, K], [B T, H, V]
    const float *g, *g_gamma, *h0;    // [B T, H], [H], [N, H, K, V]; each may be null, at most one of g and g_gamma given
    T* o;                             // [B T, H, V]
    float* ht;                        // [N, H, K, V] or null
    const long long* offsets;         // [N + 1]
    int H, K, V, slices, reverse;
    float scale;
};
static_assert(sizeof(ForwardArgs<bf16>) == 96, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct SimpleGlaForward {
    using Args = ForwardArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    struct Stage {
        Tile<T, C, K> q, k;
        Tile<T, C, V> v;
        float g[C];
    };
    static constexpr int REST = sizeof(Tile<T, C, C>) + sizeof(Tile<T, C, V>) + 2048;
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + REST < TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Tile<T, C, C> p;
        Tile<T, C, V> o;
        Prefix<C> G;
        float into[C], out_of[C];  // what the incoming state is worth at token i, what token j is worth in the outgoing one
    };

    static TILE_FN void fetch(Stage& s, const Args& a, const Sequence& seq, int token, int h, int v0) {
        const int left = seq.length - token;
        const Rows<const T> q(a.q, seq, token, a.H, h, a.K), k(a.k, seq, token, a.H, h, a.K);
        const Rows<const T> v(a.v, seq, token, a.H, h, a.V, v0);
        load_async<WARPS>(s.q, q.ptr, q.ld, left, a.K);
        load_async<WARPS>(s.k, k.ptr, k.ld, left, a.K);
        load_async<WARPS>(s.v, v.ptr, v.ld, left, a.V - v0);
        load_gate<WARPS>(s.g, a.g, a.g_gamma, seq, token, a.H, h);
    }

    // the state stays transposed, S^T [V, K], so that a warp owns its rows in every product
    static TILE_FN void chunk(Shared& s, Stage& x, Acc<V, K, WARPS>& S, float scale) {
        prefix_sum<WARPS>(s.G, x.g);
        Acc<C, C, WARPS> P;
        P.fill(0);
        mma<LOWER_OUT>(P, x.q, t(x.k));
        Acc<V, C, WARPS> O;
        O.fill(0);
        mma(O, rounded<T>(S), t(x.q));
        barrier();
        for_each_index<WARPS, C>([&](int i) {
            s.into[i] = scale * exp<T>(s.G[i]);
            s.out_of[i] = exp<T>(s.G.between(C - 1, i));
        });
        P.for_each([&](float& y, int i, int j) {
            const float decay = s.G.template decay<T>(i, j);
            y = i >= j ? y * scale * decay : 0.f;
        });
        store(s.p, P);
        barrier();
        O.for_each([&](float& y, int, int i) { y *= s.into[i]; });
        Reg<T, V, C, WARPS> v;
        v.load(t(x.v));
        mma<UPPER_B>(O, v, t(s.p));
        store(t(s.o), O);
        v.for_each([&](float& y, int, int j) { y *= s.out_of[j]; });
        const float decay = exp<T>(s.G[C - 1]);
        S.for_each([&](float& y, int, int) { y *= decay; });
        mma(S, v, x.k);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int v0 = block_id() % a.slices * V, head = block_id() / a.slices, h = head % a.H;
        const Sequence seq(a.offsets, head / a.H, a.reverse);
        const long long state = (long long)head * a.K * a.V + v0;
        auto flush = [&](int token) {
            const Rows<T> o(a.o, seq, token, a.H, h, a.V, v0);
            store_global<WARPS>(o.ptr, o.ld, s.o, seq.length - token, a.V - v0);
        };
        Acc<V, K, WARPS> S;
        S.fill(0);
        if (a.h0) load(S, a.h0 + state, 1, a.V, a.V - v0, a.K);
        if (STAGES == 2 && seq.length > 0) fetch(s.stage[0], a, seq, 0, h, v0);
        commit();
        for (int token = 0, slot = 0; token < seq.length; token += C, slot ^= STAGES - 1) {
            if (STAGES == 1) {
                barrier();
                fetch(s.stage[0], a, seq, token, h, v0);
                commit();
            }
            wait<0>();
            barrier();
            if (STAGES == 2 && token + C < seq.length) fetch(s.stage[slot ^ (STAGES - 1)], a, seq, token + C, h, v0);
            commit();
            if (token > 0) flush(token - C);
            chunk(s, s.stage[slot], S, a.scale);
        }
        barrier();
        if (seq.length > 0) flush((seq.length - 1) / C * C);
        if (a.ht) store_global(a.ht + state, 1, a.V, S, a.V - v0, a.K);
    }
};

template <class T>
struct StatesArgs {
    const T *left, *right;                 // [B T, H, K]; [B T, H, V] or null for zeros
    const float *g, *g_gamma, *initial;    // [B T, H], [H], [N, H, K, V]; each may be null
    float *states, *last;                  // [total, H, V, K]; [N, H, K, V] or null
    const long long *offsets, *chunks;     // [N + 1] each
    int H, K, V, slices, reverse;
    float scale;
};
static_assert(sizeof(StatesArgs<bf16>) == 96, "the launcher's twin must match");

// The state before every chunk (left = k, right = v), or, walking back from the end, the gradient of the state after every
// chunk (left = q, right = d_o), which obeys the same recurrence with other weights:
//   dS = exp(G_last) dS' + (diag(scale exp G) Q)^T dO.
template <class T, int C, int K, int V, bool BACK>
struct Sweep {
    using Args = StatesArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    struct Stage {
        Tile<T, C, K> left;
        Tile<T, C, V> right;
        float g[C];
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + 2048 < TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Prefix<C> G;
        float weight[C];
    };

    static TILE_FN void fetch(Stage& s, const Args& a, const Sequence& seq, int token, int h, int v0) {
        const int left = seq.length - token;
        const Rows<const T> x(a.left, seq, token, a.H, h, a.K);
        load_async<WARPS>(s.left, x.ptr, x.ld, left, a.K);
        if (a.right) {
            const Rows<const T> y(a.right, seq, token, a.H, h, a.V, v0);
            load_async<WARPS>(s.right, y.ptr, y.ld, left, a.V - v0);
        } else {
            fill<WARPS>(s.right, 0);
        }
        load_gate<WARPS>(s.g, a.g, a.g_gamma, seq, token, a.H, h);
    }

    static TILE_FN void chunk(Shared& s, Stage& x, Acc<V, K, WARPS>& S, float scale) {
        prefix_sum<WARPS>(s.G, x.g);
        barrier();
        for_each_index<WARPS, C>(
            [&](int i) { s.weight[i] = BACK ? scale * exp<T>(s.G[i]) : exp<T>(s.G.between(C - 1, i)); });
        barrier();
        Reg<T, V, C, WARPS> right;
        right.load(t(x.right));
        right.for_each([&](float& y, int, int j) { y *= s.weight[j]; });
        const float decay = exp<T>(s.G[C - 1]);
        S.for_each([&](float& y, int, int) { y *= decay; });
        mma(S, right, x.left);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int v0 = block_id() % a.slices * V, head = block_id() / a.slices, h = head % a.H, n = head / a.H;
        const Sequence seq(a.offsets, n, a.reverse);
        const long long state = (long long)head * a.K * a.V + v0;
        const int count = (seq.length + C - 1) / C;
        auto nth = [&](int i) { return BACK ? count - 1 - i : i; };
        Acc<V, K, WARPS> S;
        S.fill(0);
        if (a.initial) load(S, a.initial + state, 1, a.V, a.V - v0, a.K);
        if (STAGES == 2 && count > 0) fetch(s.stage[0], a, seq, nth(0) * C, h, v0);
        commit();
        for (int i = 0, slot = 0; i < count; i++, slot ^= STAGES - 1) {
            if (STAGES == 1) {
                barrier();
                fetch(s.stage[0], a, seq, nth(i) * C, h, v0);
                commit();
            }
            wait<0>();
            barrier();
            if (STAGES == 2 && i + 1 < count) fetch(s.stage[slot ^ (STAGES - 1)], a, seq, nth(i + 1) * C, h, v0);
            commit();
            const long long here = ((a.chunks[n] + nth(i)) * a.H + h) * a.V + v0;
            store_global(a.states + here * a.K, a.K, 1, S, a.V - v0, a.K);
            chunk(s, s.stage[slot], S, a.scale);
        }
        if (a.last) store_global(a.last + state, 1, a.V, S, a.V - v0, a.K);
    }
};
template <class T, int C, int K, int V>
struct SimpleGlaStates : Sweep<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct SimpleGlaStateGradients : Sweep<T, C, K, V, true> {};

template <class T>
struct GradientsArgs {
    const T *q, *k, *v, *d_o;                  // [B T, H, K], same, [B T, H, V], same or null for zeros
    const float *g, *g_gamma;                  // [B T, H], [H]; each may be null
    const float *states, *d_states;            // [total, H, V, K]: before and (gradient) after every chunk
    T *d_q, *d_k, *d_v;                        // as q, k, v; each may be null
    float* d_g;                                // [B T, H] or null
    const long long *offsets, *chunks;         // [N + 1] each
    const int* sequence_of_chunk;              // [total]
    int H, K, V, slices, reverse;
    float scale;
};
static_assert(sizeof(GradientsArgs<bf16>) == 144, "the launcher's twin must match");

// One chunk of one head, slice after slice of V. With dP_ij = scale exp(G_i - G_j) (do_i . v_j) for i >= j:
//   dQ = diag(scale exp G) dO S^T + dP K,   dK = diag(exp(G_last - G)) V dS'^T + dP^T Q,
//   dV = P^T dO + diag(exp(G_last - G)) K dS'.
template <class T, int C, int K, int V>
struct SimpleGlaGradients {
    using Args = GradientsArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1;
    struct Shared {
        Tile<T, C, K> q, k;
        Tile<T, C, V> v, d_o, d_v;
        Tile<T, V, K> state;
        Tile<T, C, C> p, d_p;
        Prefix<C> G;
        float g[C], into[C], out_of[C], scratch[WARPS * C], total[WARPS];
        float q_dq[C], k_dk[C], row[C], column[C];
    };
    struct Chunk {
        Sequence seq;
        int token, left, h;
        long long state;  // element of the workspaces where this chunk and head begin
    };

    static TILE_FN void scores(Shared& s, const Args& a, const Chunk& x) {
        const Rows<const T> q(a.q, x.seq, x.token, a.H, x.h, a.K), k(a.k, x.seq, x.token, a.H, x.h, a.K);
        load_async<WARPS>(s.q, q.ptr, q.ld, x.left, a.K);
        load_async<WARPS>(s.k, k.ptr, k.ld, x.left, a.K);
        load_gate<WARPS>(s.g, a.g, a.g_gamma, x.seq, x.token, a.H, x.h);
        commit();
        wait<0>();
        barrier();
        prefix_sum<WARPS>(s.G, s.g);
        Acc<C, C, WARPS> P;
        P.fill(0);
        mma<LOWER_OUT>(P, s.q, t(s.k));
        barrier();
        for_each_index<WARPS, C>([&](int i) {
            s.into[i] = a.scale * exp<T>(s.G[i]);
            s.out_of[i] = exp<T>(s.G.between(C - 1, i));
        });
        P.for_each([&](float& y, int i, int j) {
            const float decay = s.G.template decay<T>(i, j);
            y = i >= j ? y * a.scale * decay : 0.f;
        });
        store(s.p, P);
    }

    static TILE_FN void slice(Shared& s, const Args& a, const Chunk& x, int v0, Acc<C, K, WARPS>& dQ, Acc<C, K, WARPS>& dK,
                              Acc<C, C, WARPS>& dP) {
        const int width = a.V - v0;
        const long long state = x.state + (long long)v0 * a.K;
        const Rows<const T> v(a.v, x.seq, x.token, a.H, x.h, a.V, v0);
        barrier();
        load_async<WARPS>(s.v, v.ptr, v.ld, x.left, width);
        if (a.d_o) {
            const Rows<const T> d_o(a.d_o, x.seq, x.token, a.H, x.h, a.V, v0);
            load_async<WARPS>(s.d_o, d_o.ptr, d_o.ld, x.left, width);
        } else {
            fill<WARPS>(s.d_o, 0);
        }
        commit();
        load<WARPS>(s.state, a.states + state, a.K, width, a.K);
        wait<0>();
        barrier();
        mma(dQ, s.d_o, s.state);
        mma<LOWER_OUT>(dP, s.d_o, t(s.v));
        barrier();
        load<WARPS>(s.state, a.d_states + state, a.K, width, a.K);
        barrier();
        mma(dK, s.v, s.state);
        if (!a.d_v) return;
        Acc<C, V, WARPS> dV;
        dV.fill(0);
        mma(dV, s.k, t(s.state));
        dV.for_each([&](float& y, int j, int) { y *= s.out_of[j]; });
        mma<UPPER_A>(dV, t(s.p), s.d_o);
        store(s.d_v, dV);
        barrier();
        const Rows<T> out(a.d_v, x.seq, x.token, a.H, x.h, a.V, v0);
        store_global<WARPS>(out.ptr, out.ld, s.d_v, x.left, width);
    }

    // g_t scales what passes from before token t to t and after. Across the chunk's edges: the state into outputs i >= t,
    // tokens j < t into the outgoing state, the state through the whole chunk. Within it: the pairs j < t <= i.
    static TILE_FN void gate(Shared& s, const Args& a, const Chunk& x, Acc<C, K, WARPS>& dQ, Acc<C, K, WARPS>& dK,
                             Acc<C, C, WARPS>& dP) {
        row_sums<WARPS>(s.q_dq, s.scratch, dQ, [&](float y, int i, int c) { return y * s.q.at(i, c); });
        row_sums<WARPS>(s.k_dk, s.scratch, dK, [&](float y, int j, int c) { return y * s.k.at(j, c); });
        const float *S = a.states + x.state, *dS = a.d_states + x.state;
        const float S_dS = sum<WARPS>(s.total, (long long)a.K * a.V, [&](long long i) { return S[i] * dS[i]; });
        const float through = exp<T>(s.G[C - 1]) * S_dS;
        Acc<C, C, WARPS> D;
        D.fill(0);
        mma<LOWER_OUT>(D, s.q, t(s.k));
        zip(D, dP, [&](float& y, float dp, int i, int j) { y = i > j ? y * dp : 0.f; });
        row_sums<WARPS>(s.row, s.scratch, D, [](float y, int, int) { return y; });
        column_sums<WARPS>(s.column, s.scratch, D, [](float y, int, int) { return y; });
        const Rows<float> out(a.d_g, x.seq, x.token, a.H, x.h, 1);
        for_each_index<WARPS, C>([&](int i) {
            if (i >= x.left) return;
            float within = 0, after = 0, before = 0;
            for (int j = C - 1; j >= i; j--) within += s.row[j] - s.column[j], after += s.q_dq[j];
            for (int j = 0; j < i; j++) before += s.k_dk[j];
            out.ptr[i * out.ld] = (after + before) + (within + through);
        });
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int chunk = block_id() / a.H, h = block_id() % a.H, n = a.sequence_of_chunk[chunk];
        const Sequence seq(a.offsets, n, a.reverse);
        const int token = (int)(chunk - a.chunks[n]) * C;
        const Chunk x{seq, token, seq.length - token, h, (long long)block_id() * a.V * a.K};
        scores(s, a, x);
        Acc<C, K, WARPS> dQ, dK;
        Acc<C, C, WARPS> dP;
        dQ.fill(0);
        dK.fill(0);
        dP.fill(0);
        for (int v0 = 0; v0 < a.V; v0 += V) slice(s, a, x, v0, dQ, dK, dP);
        dQ.for_each([&](float& y, int i, int) { y *= s.into[i]; });
        dK.for_each([&](float& y, int j, int) { y *= s.out_of[j]; });
        dP.for_each([&](float& y, int i, int j) {
            const float decay = s.G.template decay<T>(i, j);
            y = i >= j ? y * a.scale * decay : 0.f;
        });
        store(s.d_p, dP);
        if (a.d_g) gate(s, a, x, dQ, dK, dP);
        barrier();
        mma<LOWER_A>(dQ, s.d_p, s.k);
        mma<UPPER_A>(dK, t(s.d_p), s.q);
        barrier();
        store(s.q, dQ);
        store(s.k, dK);
        barrier();
        auto put = [&](T* to, const Tile<T, C, K>& tile) {
            if (!to) return;
            const Rows<T> at(to, seq, token, a.H, h, a.K);
            store_global<WARPS>(at.ptr, at.ld, tile, x.left, a.K);
        };
        put(a.d_q, s.q);
        put(a.d_k, s.k);
    }
};

}  // namespace simple_gla

using simple_gla::SimpleGlaForward;
using simple_gla::SimpleGlaGradients;
using simple_gla::SimpleGlaStateGradients;
using simple_gla::SimpleGlaStates;
