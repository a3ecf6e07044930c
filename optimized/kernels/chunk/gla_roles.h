// gla's forward pass for 16-bit operands, without gates of values, on machines with room in shared memory. Late channels
// are rare, and code for them that never runs costs a tenth of the time: GlaRoles has none. A block that meets one gives
// up and says so, and GlaRolesLate begins it anew.
#pragma once
#include "gla_forward.h"

#if !defined(TILE_HIP)
namespace gla {

// The block's warps have two roles, a chunk apart: one folds the gates of a chunk into its keys and queries and makes P,
// which no state enters, while the state passes through the chunk before. What is unrolled stands in one place of each
// role: it is most of the time that compilation takes.
template <class T, int C, int K, int V, bool LATE>
struct Roles {
    using Args = ForwardArgs<T>;
    static constexpr int STATE_WARPS = V / 16, PAIR_WARPS = K / 16, WARPS = STATE_WARPS + PAIR_WARPS;
    static constexpr int MIN_BLOCKS = K <= 64 ? 2 : 1;
    static constexpr int STAGES = 3;
    static constexpr float REACH = gla::REACH<T, false>;
    using State = Acc<V, K, STATE_WARPS>;  // transposed, so that a warp owns its rows in every product
    using Keys = Columns<C, K, PAIR_WARPS>;
    struct Operands {
        Tile<T, C, K> q, k;
    };
    struct Chunk {
        union {
            Operands keys;
            Tile<float, C, K> G;  // where channels are late, until the operands are read again
        };
        Tile<T, C, V> v;  // and o after it
    };
    union Pairs {
        float scratch[Keys::SCRATCH];  // until gates are summed up
        Tile<T, C, C> p;
    };
    struct Memory {
        Chunk chunk[STAGES];
        Tile<T, C, K> g[2];
        Pairs pairs[2];
        Tile<T, V, K> state;
        float last[K];
        float decay[2][K];  // of the whole chunk
        int late[2];  // whether a chunk's channels are
        int met;      // without LATE: the step that met such a chunk
    };
    // where it does not fit, nobody launches it
    static constexpr bool FITS = sizeof(Memory) <= TILE_SHARED_MOST;
    using Shared = If<FITS, Memory, float>;

    struct PairRole {
        Memory& s;
        const Args& a;
        const Place<Args>& at;

        // a commit each, also of nothing
        TILE_FN void fetch(int chunk) {
            if (chunk < at.chunks) {
                Chunk& x = s.chunk[chunk % STAGES];
                fetch_rows<PAIR_WARPS>(s.g[chunk % 2], a.g, at, a.H, chunk * C, a.K, 0);
                fetch_rows<PAIR_WARPS>(x.keys.q, a.q, at, a.H, chunk * C, a.K, 0);
                fetch_rows<PAIR_WARPS>(x.keys.k, a.k, at, a.H, chunk * C, a.K, 0);
                fetch_rows<PAIR_WARPS>(x.v, a.v, at, a.H, chunk * C, a.V, at.v0);
            }
            commit();
        }
        TILE_FN void fetch_again(Operands& x, int token, bool queries) {
            if (queries) fetch_rows<PAIR_WARPS>(x.q, a.q, at, a.H, token, a.K, 0);
            fetch_rows<PAIR_WARPS>(x.k, a.k, at, a.H, token, a.K, 0);
            commit();
            wait<0>();
            group_barrier<PAIR_WARPS>();
        }
        TILE_FN void late_pairs(Keys& G, Chunk& x, Tile<T, C, C>& p, int token) {
            keep(x.G, G);
            group_barrier<PAIR_WARPS>();
            const Elements<T> q{a.q, at.seq, token, a.H, at.h, a.K, 0}, k{a.k, at.seq, token, a.H, at.h, a.K, 0};
            late_products<PAIR_WARPS>(p, q, k, x.G, REACH, a.scale);
            group_barrier<PAIR_WARPS>();
            fetch_again(x.keys, token, true);
        }
        // P, and operands relative to the chunk's beginning; where channels are late, keys to its end
        TILE_FN void pairs(int chunk) {
            Chunk& x = s.chunk[chunk % STAGES];
            Tile<T, C, C>& p = s.pairs[chunk % 2].p;
            Keys G;
            sums(G, s.g[chunk % 2], s.last, s.pairs[chunk % 2].scratch);
            group_barrier<PAIR_WARPS>();
            bool late = false;
            if constexpr (LATE) {
                late = lowest(s.last) < -REACH;
                for_each_index<PAIR_WARPS, 1>([&](int) { s.late[chunk % 2] = late; });
                if (late) late_pairs(G, x, p, chunk * C);
            }
            for_each_index<PAIR_WARPS, K>([&](int c) {
                if (!LATE && s.last[c] < -REACH) s.met = chunk + 1;
                s.decay[chunk % 2][c] = exp<T>(s.last[c]);
            });
            const float scale = a.scale;
            fold(x.keys.q, G, [scale](float G, int) { return scale * exp<T>(G); });
            fold(x.keys.k, G, [](float G, int) { return rise<T>(G, REACH); });
            group_barrier<PAIR_WARPS>();
            scores(x, p, late);
            if constexpr (LATE) {
                if (!late) return;
                group_barrier<PAIR_WARPS>();
                fetch_again(x.keys, chunk * C, false);
                fold(x.keys.k, G, [&](float G, int c) { return exp<T>(s.last[c] - G); });
            }
        }
        TILE_FN void scores(Chunk& x, Tile<T, C, C>& p, bool late) {
            Acc<C, C, PAIR_WARPS> P;
            P.fill(0);
            mma<LOWER_OUT>(P, x.keys.q, t(x.keys.k));
            if (LATE && late) zip(P, p, [](float& y, float more, int, int) { y += more; });
            keep_lower<false>(P);
            store(p, P);
        }
        TILE_FN void begin() {
            for_each_index<PAIR_WARPS, 1>([&](int) { s.met = NOT_YET; });
        }
        TILE_FN void ready() {}
        // step n: chunk n is on its way, pairs of the one before, the state passes through the one before that
        TILE_FN void step(int n) {
            fetch(n);
            if (n > 0 && n <= at.chunks) pairs(n - 1);
            wait<0>();
        }
        TILE_FN void end() {}
    };

    struct StateRole {
        static constexpr bool QUIET = true;
        Memory& s;
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
        TILE_FN void decay(int c) {
            const float(&decay)[K] = s.decay[c % 2];
            S.for_each([&](float& y, int, int k) { y *= decay[k]; });
        }
        // O^T = S^T q^T + v^T P^T
        TILE_FN void step(int n) {
            const int c = n - 2;
            if (c < 0) return;
            Chunk& x = s.chunk[c % STAGES];
            if (a.states) store_global<true>(a.states + at.kept(a, c), a.K, s.state, S, at.given(c, a.V - at.v0), a.K);
            Acc<V, C, STATE_WARPS> O;
            O.fill(0);
            Reg<T, V, K, STATE_WARPS> before;
            before.round(S);
            if (LATE && s.late[c % 2]) decay(c);
            Reg<T, V, C, STATE_WARPS> v;
            v.load(t(x.v));
            prepare(before, v, O, S);
            issue(O, before, t(x.keys.q));
            issue(O, v, t(s.pairs[c % 2].p));
            issue(S, v, x.keys.k);
            settle_but_last(before, O);
            const Rows<T> o(a.o, at.seq, c * C, a.H, at.h, a.V, at.v0);
            store_global(o.ptr, o.ld, t(x.v), O, at.given(c, at.seq.length - c * C), a.V - at.v0);
            settle(v, S);
            if (!LATE || !s.late[c % 2]) decay(c);
        }
        TILE_FN void end() {
            if constexpr (!LATE) {
                const bool met = s.met < NOT_YET;
                for_each_index<STATE_WARPS, 1>([&](int) { a.late[block_id()] = met; });
                if (met) return;
            }
            if (a.ht && at.leaves(a)) store_global(a.ht + at.left(a), 1, a.V, S, a.V - at.v0, a.K);
        }
    };

    static TILE_FN void run(Memory& s, const Args& a) {
        const Place<Args> at(a, C, V);
        if (at.part.idle || (LATE && !a.late[block_id()])) return;
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        const auto given_up = [&s](int n) { return !LATE && s.met < n; };
        lockstep<STATE_WARPS, PAIR_WARPS, 168>(at.chunks + 2, state, pair, given_up);
    }
    static TILE_FN void run(float&, const Args&) {}
};
template <class T, int C, int K, int V>
struct GlaRoles : Roles<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct GlaRolesLate : Roles<T, C, K, V, true> {};

}  // namespace gla

using gla::GlaRoles;
using gla::GlaRolesLate;
#endif
