// simple_gla's backward pass in one kernel, for 16-bit operands, values no wider than a slice, and machines with room
// in shared memory. Chunks go from the last to the first, each in two steps. The gradient of the state stays on the
// chip: one role holds it in registers, leaves a copy of it in shared memory before it changes, and makes d_v; the
// other makes the pairs' products, d_q, d_k and d_g. States before the chunks come from the forward pass.
#pragma once
#include "simple_gla_forward.h"

#if !defined(TILE_HIP)
namespace simple_gla {

template <class T, class Out>
struct BackwardArgs {
    const T *q, *k, *v, *d_o;                  // [B T, H, K], same, [B T, H, V], same or null for zeros
    const float *g, *g_gamma;                  // [B T, H], [H]; each may be null
    const float *h0, *d_ht;                    // [N, H, K, V] or null; without h0 the first token's gate scales nothing
    const T* states;                           // [total, H, V, K]: before every chunk
    Out *d_q, *d_k;                            // as q and k; each may be null
    T* d_v;                                    // as v, or null
    float *d_g, *d_h0;                         // [B T, H], [N, H, K, V]; each may be null
    const long long *offsets, *chunks;         // [P + 1] each
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long* windows;
    int H, K, V, slices, reverse, entering;
    float scale;
};
static_assert(sizeof(BackwardArgs<bf16, bf16>) == 184, "the launcher's twin must match");

// d_g of a token is what passes through its gate: the incoming state to outputs from there on, earlier tokens and that
// state into the outgoing one, and within the chunk the pairs of an earlier token and a later or the same one. None of
// them is a difference of what a closed gate leaves small. Out is what d_q and d_k are left in: T or float.
template <class T, int C, int K, int V, class Out>
struct Backward {
    using Args = BackwardArgs<T, Out>;
    static constexpr int STATE_WARPS = V / 16, PAIR_WARPS = C / 16, WARPS = STATE_WARPS + PAIR_WARPS;
    static constexpr int MIN_BLOCKS = K <= 64 ? 2 : 1;
    using State = Acc<V, K, STATE_WARPS>;
    using Values = Acc<V, C, STATE_WARPS>;
    using Square = Acc<C, C, PAIR_WARPS>;
    using Keys = Acc<C, K, PAIR_WARPS>;
    struct Chunk {
        Tile<T, C, K> q, k;
        Tile<T, C, V> v, d_o;  // d_o, and d_v after it
    };
    struct Memory {
        Chunk chunk[2];
        Tile<T, V, K> state, d_state;
        union {
            Tile<T, C, K> out;
            float column[PAIR_WARPS][C];  // until d_q goes out
        };
        Tile<T, C, C> p, d_p;
        float g[2][C];
        Prefix<C> G;
        float into[C], out_of[C];  // what the incoming state is worth at token i, token j in the outgoing one
        float reads[C], writes[C];  // what token i has of the incoming state, and token j in the outgoing one
        float within[C];  // over pairs: those of which token i is the later one, less those of which the earlier
        float decay, through[STATE_WARPS];
    };
    // where it does not fit, nobody launches it
    static constexpr bool FITS = sizeof(Memory) <= TILE_SHARED_MOST;
    using Shared = If<FITS, Memory, float>;

    struct StateRole {
        Memory& s;
        const Args& a;
        const Place<Args, true>& at;
        State D;
        Values dV;

        TILE_FN int chunk(int i) const { return at.chunks - 1 - i; }
        TILE_FN void fetch(int i) {
            if (i < at.chunks) {
                Chunk& x = s.chunk[i % 2];
                const int token = chunk(i) * C;
                fetch_rows<STATE_WARPS>(x.q, a.q, at, a.H, token, a.K, 0);
                fetch_rows<STATE_WARPS>(x.k, a.k, at, a.H, token, a.K, 0);
                fetch_rows<STATE_WARPS>(x.v, a.v, at, a.H, token, a.V, 0);
                fetch_rows<STATE_WARPS>(x.d_o, a.d_o, at, a.H, token, a.V, 0);
                load_gate<STATE_WARPS>(s.g[i % 2], a.g, a.g_gamma, at.seq, token, a.H, at.h);
            }
            commit();
        }
        TILE_FN void fetch_state(int i) {
            if (i < at.chunks) load_async<STATE_WARPS>(s.state, a.states + at.kept(a, chunk(i)), a.K, a.V, a.K);
            commit();
        }
        TILE_FN void begin() {
            if (a.d_ht && at.part.enters)
                load(D, a.d_ht + at.state, 1, a.V, a.V, a.K);
            else
                D.fill(0);
            fetch(0);
            fetch_state(0);
            wait<0>();
        }
        TILE_FN void ready() {}
        TILE_FN void step(int n) {
            if (n % 2 == 0)
                before(n / 2);
            else
                after(n / 2);
        }
        // dV^T = dS'^T K^T
        TILE_FN void before(int i) {
            fetch(i + 1);
            store(s.d_state, D);
            if (a.d_g) {
                float share = 0;
                zip(D, s.state, [&](float& y, float x, int, int) { share = fused(y, x, share); });
                warp_sums<STATE_WARPS>(s.through, share);
            }
            dV.fill(0);
            product(dV, rounded<T>(D), t(s.chunk[i % 2].k));
        }
        // dV^T = dV^T diag(out_of) + dO^T P,   dS = decay dS' + (diag(into) dO)^T Q
        TILE_FN void after(int i) {
            Chunk& x = s.chunk[i % 2];
            fetch_state(i + 1);
            Reg<T, V, C, STATE_WARPS> d_o, weighted;
            d_o.load(t(x.d_o));
            weighted = d_o;
            weighted.for_each([&](float& y, int, int j) { y *= s.into[j]; });
            dV.for_each([&](float& y, int, int j) { y *= s.out_of[j]; });
            const float decay = s.decay;
            D.for_each([decay](float& y, int, int) { y *= decay; });
            prepare(d_o, weighted, dV, D);
            issue(dV, d_o, s.p);
            issue(D, weighted, x.q);
            settle_but_last(d_o, dV);
            if (a.d_v) {
                const int token = chunk(i) * C;
                const Rows<T> out(a.d_v, at.seq, token, a.H, at.h, a.V);
                store_global(out.ptr, out.ld, t(x.d_o), dV, at.given(chunk(i), at.seq.length - token), a.V);
            }
            settle(weighted, D);
            wait<0>();
        }
        TILE_FN void end() {
            if (a.d_h0 && at.leaves(a)) store_global(a.d_h0 + at.left(a), 1, a.V, D, a.V, a.K);
        }
    };

    struct PairRole {
        Memory& s;
        const Args& a;
        const Place<Args, true>& at;

        TILE_FN int token(int i) const { return (at.chunks - 1 - i) * C; }
        TILE_FN void begin() {}
        TILE_FN void ready() {}
        TILE_FN void step(int n) {
            if (n % 2 == 0)
                before(n / 2);
            else
                after(n / 2);
        }
        TILE_FN void put(Out* to, int token, const Keys& x) {
            if (!to) return;
            const Rows<Out> out(to, at.seq, token, a.H, at.h, a.K);
            const int given = at.given(token / C, at.seq.length - token);
            if constexpr (sizeof(Out) == sizeof(T))
                store_global(out.ptr, out.ld, s.out, x, given, a.K);
            else
                store_global(out.ptr, out.ld, 1, x, given, a.K);
        }
        TILE_FN void pairs(Chunk& x) {
            Square P, dP, decays;
            {
                Reg<T, C, K, PAIR_WARPS> q;
                q.load(x.q);
                P.fill(0);
                product(P, q, t(x.k));
            }
            {
                Reg<T, C, V, PAIR_WARPS> d_o;
                d_o.load(x.d_o);
                dP.fill(0);
                product(dP, d_o, t(x.v));
            }
            group_barrier<PAIR_WARPS>();
            const float scale = a.scale;
            for_each_index<PAIR_WARPS, C>([&](int i) {
                s.into[i] = scale * exp<T>(s.G[i]);
                s.out_of[i] = exp<T>(s.G.between(C - 1, i));
                if (i == 0) s.decay = exp<T>(s.G[C - 1]);
            });
            decays.for_each([&](float& y, int i, int j) { y = scale * exp<T>(s.G.between(i, j)); });
            zip(dP, decays, [](float& y, float d, int, int) { y *= d; });
            keep_lower<false>(dP);
            store(s.d_p, dP);
            if (a.d_g) {
                zip(dP, P, [](float& y, float p, int, int) { y *= p; });
                keep_lower<true>(dP);
                own_row_sums(s.within, dP, [](float y, int, int) { return y; });
                own_column_sums(s.column, dP, [](float y, int, int) { return y; });
            }
            zip(P, decays, [](float& y, float d, int, int) { y *= d; });
            keep_lower<false>(P);
            store(s.p, P);
            group_barrier<PAIR_WARPS>();
            if (!a.d_g) return;
            for_each_index<PAIR_WARPS, C>([&](int i) {
                TILE_UNROLL
                for (int w = 0; w < PAIR_WARPS; w++) s.within[i] -= s.column[w][i];
            });
            group_barrier<PAIR_WARPS>();
        }
        // P, dP,   dQ = diag(into) dO S^T + dP K
        TILE_FN void before(int i) {
            Chunk& x = s.chunk[i % 2];
            prefix_sum<PAIR_WARPS>(s.G, s.g[i % 2]);
            pairs(x);
            if (!a.d_q && !a.d_g) return;
            Keys dQ;
            dQ.fill(0);
            {
                Reg<T, C, V, PAIR_WARPS> d_o;
                d_o.load(x.d_o);
                product(dQ, d_o, s.state);
            }
            dQ.for_each([&](float& y, int i, int) { y *= s.into[i]; });
            if (a.d_g) own_row_products(s.reads, dQ, x.q);
            Reg<T, C, C, PAIR_WARPS> d_p;
            d_p.load(s.d_p);
            product(dQ, d_p, x.k);
            put(a.d_q, token(i), dQ);
        }
        // dK = diag(out_of) V dS'^T + dP^T Q
        TILE_FN void after(int i) {
            if (!a.d_k && !a.d_g) return;
            Chunk& x = s.chunk[i % 2];
            Keys dK;
            dK.fill(0);
            {
                Reg<T, C, V, PAIR_WARPS> v;
                v.load(x.v);
                product(dK, v, s.d_state);
            }
            dK.for_each([&](float& y, int j, int) { y *= s.out_of[j]; });
            if (a.d_g) own_row_products(s.writes, dK, x.k);
            Reg<T, C, C, PAIR_WARPS> d_p;
            d_p.load(t(s.d_p));
            product(dK, d_p, x.q);
            put(a.d_k, token(i), dK);
            if (a.d_g) gate(token(i));
        }
        TILE_FN void gate(int token) {
            group_barrier<PAIR_WARPS>();
            sums_from<PAIR_WARPS>(s.within, 0);
            sums_from<PAIR_WARPS>(s.reads, 1);
            sums_before<PAIR_WARPS>(s.writes, 2);
            group_barrier<PAIR_WARPS>();
            float through = 0;
            TILE_UNROLL
            for (int w = 0; w < STATE_WARPS; w++) through += s.through[w];
            through *= s.decay;
            const bool nothing = !a.h0 && token == 0 && at.part.begins;
            const Rows<float> out(a.d_g, at.seq, token, a.H, at.h, 1);
            for_each_index<PAIR_WARPS, C>([&](int i) {
                if (i >= at.given(token / C, at.seq.length - token)) return;
                const float sum = (s.reads[i] + s.writes[i]) + (s.within[i] + through);
                out.ptr[i * out.ld] = nothing && i == 0 ? 0.f : sum;
            });
        }
        TILE_FN void end() {}
    };

    static TILE_FN void run(Memory& s, const Args& a) {
        const Place<Args, true> at(a, C, V);
        if (at.part.idle) return;
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        lockstep<STATE_WARPS, PAIR_WARPS>(2 * at.chunks, state, pair);
    }
    static TILE_FN void run(float&, const Args&) {}
};
template <class T, int C, int K, int V>
struct SimpleGlaBackward : Backward<T, C, K, V, T> {};
template <class T, int C, int K, int V>
struct NumeratorBackward : Backward<T, C, K, V, float> {};

}  // namespace simple_gla

using simple_gla::NumeratorBackward;
using simple_gla::SimpleGlaBackward;
#endif
