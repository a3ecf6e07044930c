// simple_gla's forward pass for 16-bit operands and machines with room in shared memory.
#pragma once
#include "simple_gla_forward.h"

#if !defined(TILE_HIP)
namespace simple_gla {

// The block's warps have two roles, a chunk apart: pairs of tokens give P of the next chunk, which no state enters,
// while the state passes through the present one.
template <class T, int C, int K, int V>
struct SimpleGlaRoles {
    using Args = ForwardArgs<T>;
    static constexpr int STATE_WARPS = V / 16, PAIR_WARPS = C / 16, WARPS = STATE_WARPS + PAIR_WARPS;
    static constexpr int MIN_BLOCKS = K <= 64 ? 2 : 1;
    using State = Acc<V, K, STATE_WARPS>;  // transposed, so that a warp owns its rows in every product
    struct Chunk {
        Tile<T, C, K> q, k;
        Tile<T, C, V> v;  // and o after it
        float g[C], divisor[C];
    };
    struct Pairs {
        Tile<T, C, C> p;
        float into[C], out_of[C];  // what the incoming state is worth at token i, token j in the outgoing one
        float decay;               // of the whole chunk
    };
    template <int STAGES>
    struct Memory {
        Chunk chunk[STAGES];
        Pairs pairs[2];
        Tile<T, V, K> state;
        Prefix<C> G;
    };
    template <int N>
    static constexpr bool FITS = MIN_BLOCKS * (sizeof(Memory<N>) + 1024) <= TILE_SHARED_MOST + 1024;
    static constexpr int STAGES = FITS<4> ? 4 : FITS<3> ? 3 : 2;
    using Shared = Memory<STAGES>;

    struct PairRole {
        Shared& s;
        const Args& a;
        const Place<Args>& at;

        // a commit each, also of nothing
        TILE_FN void fetch(int chunk) {
            if (chunk < at.chunks) {
                Chunk& x = s.chunk[chunk % STAGES];
                const int token = chunk * C, left = at.seq.length - token;
                const Rows<const T> q(a.q, at.seq, token, a.H, at.h, a.K), k(a.k, at.seq, token, a.H, at.h, a.K);
                const Rows<const T> v(a.v, at.seq, token, a.H, at.h, a.V, at.v0);
                load_async<PAIR_WARPS>(x.q, q.ptr, q.ld, left, a.K);
                load_async<PAIR_WARPS>(x.k, k.ptr, k.ld, left, a.K);
                load_async<PAIR_WARPS>(x.v, v.ptr, v.ld, left, a.V - at.v0);
                load_gate<PAIR_WARPS>(x.g, a.g, a.g_gamma, at.seq, token, a.H, at.h);
                load_divisor<PAIR_WARPS>(x.divisor, a.divisor, at.seq, token, a.H, at.h);
            }
            commit();
        }
        TILE_FN void pairs(int chunk) {
            Chunk& x = s.chunk[chunk % STAGES];
            Pairs& y = s.pairs[chunk % 2];
            const float scale = a.scale;
            prefix_sum<PAIR_WARPS>(s.G, x.g);
            Acc<C, C, PAIR_WARPS> P;
            P.fill(0);
            Reg<T, C, K, PAIR_WARPS> q;
            q.load(x.q);
            product<LOWER_OUT>(P, q, t(x.k));
            group_barrier<PAIR_WARPS>();
            for_each_index<PAIR_WARPS, C>([&](int i) {
                y.into[i] = scale * exp<T>(s.G[i]);
                y.out_of[i] = exp<T>(s.G.between(C - 1, i));
                if (i == 0) y.decay = exp<T>(s.G[C - 1]);
            });
            P.for_each([&](float& z, int i, int j) { z *= scale * exp<T>(s.G.between(i, j)); });
            keep_lower<false>(P);
            store(y.p, P);
        }
        TILE_FN void begin() {
            for (int i = 0; i < STAGES - 1; i++) fetch(i);
            wait<0>();
        }
        TILE_FN void ready() {
            if (at.chunks > 0) pairs(0);
        }
        TILE_FN void step(int c) {
            fetch(c + STAGES - 1);
            if (STAGES == 2) {
                wait<0>();
                group_barrier<PAIR_WARPS>();
            }
            if (c + 1 < at.chunks) pairs(c + 1);
            wait<(STAGES > 3 ? STAGES - 3 : 0)>();
        }
        TILE_FN void end() {}
    };

    struct StateRole {
        static constexpr bool QUIET = true;
        Shared& s;
        const Args& a;
        const Place<Args>& at;
        State S;

        TILE_FN void begin() {
            if (a.h0 && at.part.enters)
                load(S, a.h0 + at.state, 1, a.V, a.V - at.v0, a.K);
            else
                S.fill(0);
        }
        TILE_FN void ready() {}
        // O^T = diag(into) S^T Q^T + V^T P^T
        TILE_FN void step(int c) {
            Chunk& x = s.chunk[c % STAGES];
            const Pairs& y = s.pairs[c % 2];
            if (a.states) store_global<(K > 64)>(a.states + at.kept(a, c), a.K, s.state, S, at.given(c, a.V - at.v0), a.K);
            Acc<V, C, STATE_WARPS> O;
            O.fill(0);
            product(O, rounded<T>(S), t(x.q));
            O.for_each([&](float& z, int, int i) { z *= y.into[i]; });
            Reg<T, V, C, STATE_WARPS> v, decayed;
            v.load(t(x.v));
            decayed = v;
            decayed.for_each([&](float& z, int, int j) { z *= y.out_of[j]; });
            const float decay = y.decay;
            S.for_each([decay](float& z, int, int) { z *= decay; });
            prepare(v, decayed, O, S);
            issue(O, v, t(y.p));
            issue(S, decayed, x.k);
            settle_but_last(v, O);
            if (a.divisor) O.for_each([&](float& z, int, int i) { z /= x.divisor[i]; });
            const int token = c * C;
            const Rows<T> o(a.o, at.seq, token, a.H, at.h, a.V, at.v0);
            store_global(o.ptr, o.ld, t(x.v), O, at.given(c, at.seq.length - token), a.V - at.v0);
            settle(decayed, S);
        }
        TILE_FN void end() {
            if (a.ht && at.leaves(a)) store_global(a.ht + at.left(a), 1, a.V, S, a.V - at.v0, a.K);
        }
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place<Args> at(a, C, V);
        if (at.part.idle) return;
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        lockstep<STATE_WARPS, PAIR_WARPS>(at.chunks, state, pair);
    }
};

}  // namespace simple_gla

using simple_gla::SimpleGlaRoles;
#endif
