// simple_gla's gradients of a chunk, from the state before it and the gradient of the state after it.
#pragma once
#include "simple_gla_forward.h"

namespace simple_gla {

template <class T, class Out>
struct GradientsArgs {
    const T *q, *k, *v, *d_o;                  // [B T, H, K], same, [B T, H, V], same or null for zeros
    const float *g, *g_gamma;                  // [B T, H], [H]; each may be null
    const T *states, *d_states;                // [total, H, V, K]: before and (gradient) after every chunk
    Out *d_q, *d_k;                            // as q and k; each may be null
    T* d_v;                                    // as v, or null
    float* d_g;                                // [B T, H] or null
    const long long *offsets, *chunks;         // [N + 1] each
    const int* sequence_of_chunk;              // [total]
    int H, K, V, slices, reverse;
    float scale;
};
static_assert(sizeof(GradientsArgs<bf16, bf16>) == 144, "the launcher's twin must match");

// One chunk of one head, slice after slice of V. With dP_ij = scale exp(G_i - G_j) (do_i . v_j) for i >= j:
//   dQ = diag(scale exp G) dO S^T + dP K,   dK = diag(exp(G_last - G)) V dS'^T + dP^T Q,
//   dV = P^T dO + diag(exp(G_last - G)) K dS'.
// Out is what dQ and dK are left in: T or float.
template <class T, int C, int K, int V, class Out>
struct Gradients {
    using Args = GradientsArgs<T, Out>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1;
    struct Shared {
        Tile<T, C, K> q, k;
        Tile<T, C, V> v, d_o;  // v, and d_v after it
        Tile<T, V, K> state, d_state;
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

    static TILE_FN void slice(Shared& s, const Args& a, const Chunk& x, int v0, Acc<C, K, WARPS>& dQ,
                              Acc<C, K, WARPS>& dK, Acc<C, C, WARPS>& dP, float& through) {
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
        load_async<WARPS>(s.state, a.states + state, a.K, width, a.K);
        load_async<WARPS>(s.d_state, a.d_states + state, a.K, width, a.K);
        commit();
        wait<0>();
        barrier();
        mma(dQ, s.d_o, s.state);
        mma<LOWER_OUT>(dP, s.d_o, t(s.v));
        mma(dK, s.v, s.d_state);
        if (a.d_g) through += inner_product<WARPS>(s.state, s.d_state);
        if (!a.d_v) return;
        Acc<C, V, WARPS> dV;
        dV.fill(0);
        mma(dV, s.k, t(s.d_state));
        dV.for_each([&](float& y, int j, int) { y *= s.out_of[j]; });
        mma<UPPER_A>(dV, t(s.p), s.d_o);
        barrier();
        store(s.v, dV);
        barrier();
        const Rows<T> out(a.d_v, x.seq, x.token, a.H, x.h, a.V, v0);
        store_global<WARPS>(out.ptr, out.ld, s.v, x.left, width);
    }

    // g_t scales what passes from before token t to t and after. Across the chunk's edges: the state to outputs i >= t,
    // tokens j < t into the outgoing state, the state through the whole chunk. Within it: the pairs j < t <= i.
    static TILE_FN void gate(Shared& s, const Args& a, const Chunk& x, Acc<C, K, WARPS>& dQ, Acc<C, K, WARPS>& dK,
                             Acc<C, C, WARPS>& dP, float share) {
        row_sums<WARPS>(s.q_dq, s.scratch, dQ, [&](float y, int i, int c) { return y * s.q.at(i, c); });
        row_sums<WARPS>(s.k_dk, s.scratch, dK, [&](float y, int j, int c) { return y * s.k.at(j, c); });
        const float through = exp<T>(s.G[C - 1]) * total<WARPS>(s.total, share);
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
        float through = 0;  // <S, dS'>, this thread's share
        for (int v0 = 0; v0 < a.V; v0 += V) slice(s, a, x, v0, dQ, dK, dP, through);
        dQ.for_each([&](float& y, int i, int) { y *= s.into[i]; });
        dK.for_each([&](float& y, int j, int) { y *= s.out_of[j]; });
        dP.for_each([&](float& y, int i, int j) {
            const float decay = s.G.template decay<T>(i, j);
            y = i >= j ? y * a.scale * decay : 0.f;
        });
        store(s.d_p, dP);
        if (a.d_g) gate(s, a, x, dQ, dK, dP, through);
        barrier();
        mma<LOWER_A>(dQ, s.d_p, s.k);
        mma<UPPER_A>(dK, t(s.d_p), s.q);
        barrier();
        if constexpr (sizeof(Out) > sizeof(T)) {
            auto put = [&](Out* to, const Acc<C, K, WARPS>& acc) {
                if (!to) return;
                const Rows<Out> at(to, seq, token, a.H, h, a.K);
                store_global(at.ptr, at.ld, 1, acc, x.left, a.K);
            };
            put(a.d_q, dQ);
            put(a.d_k, dK);
        } else {
            give(s, a, x, dQ, dK);
        }
    }
    static TILE_FN void give(Shared& s, const Args& a, const Chunk& x, const Acc<C, K, WARPS>& dQ,
                             const Acc<C, K, WARPS>& dK) {
        store(s.q, dQ);
        store(s.k, dK);
        barrier();
        auto put = [&](T* to, const Tile<T, C, K>& tile) {
            if (!to) return;
            const Rows<T> at(to, x.seq, x.token, a.H, x.h, a.K);
            store_global<WARPS>(at.ptr, at.ld, tile, x.left, a.K);
        };
        put(a.d_q, s.q);
        put(a.d_k, s.k);
    }
};
template <class T, int C, int K, int V>
struct SimpleGlaGradients : Gradients<T, C, K, V, T> {};
template <class T, int C, int K, int V>
struct NumeratorGradients : Gradients<T, C, K, V, float> {};

}  // namespace simple_gla
