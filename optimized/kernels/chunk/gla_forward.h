// gla's forward pass, and the sweep back that gives the gradients of the states.
#pragma once
#include "gla_gates.h"

namespace gla {

template <class T>
struct ForwardArgs {
    const T *q, *k, *v, *g, *gv;  // [B T, H, K] twice, [B T, H, V]; gates as k and v, each may be null
    const float* h0;              // [N, H, K, V] or null
    T* o;                         // [B T, H, V] or null
    float* ht;                    // [N, H, K, V] or null
    T* states;                    // [total, H, V, K]: before every chunk; or null
    long long* late;              // [blocks], of GlaRoles: which of them are GlaRolesLate's
    const long long *offsets, *chunks;  // [N + 1] each
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long* windows;
    int H, K, V, slices, reverse, entering;
    float scale;
};
static_assert(sizeof(ForwardArgs<bf16>) == 152, "the launcher's twin must match");

template <class T, int C, int K, int V, bool BOTH>
struct Forward {
    using Args = ForwardArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    static constexpr float REACH = gla::REACH<T, BOTH>;
    using State = Acc<V, K, WARPS>;  // transposed, so that a warp owns its rows in every product
    using Keys = Columns<C, K, WARPS>;
    using Values = Columns<C, V, WARPS>;
    struct Stage {
        Tile<T, C, K> q, k, g;
        Tile<T, C, V> v;
        Maybe<BOTH, Tile<T, C, V>> gv;
    };
    struct ValueGates {
        Tile<float, C, V> G;
        Tile<T, C, V> late;
        float last[V], scratch[Values::SCRATCH];
    };
    struct Rest {
        Tile<T, C, C> p;
        union {
            Tile<float, C, K> G;  // only where channels are late
            Tile<T, V, K> state;
        };
        float last[K], decay[K], scratch[Keys::SCRATCH];
        Maybe<BOTH, ValueGates> values;
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Rest) <= TILE_SHARED_MOST ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Rest rest;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place<Args>& at, int token) {
        fetch_rows<WARPS>(x.q, a.q, at, a.H, token, a.K, 0);
        fetch_rows<WARPS>(x.k, a.k, at, a.H, token, a.K, 0);
        fetch_rows<WARPS>(x.g, a.g, at, a.H, token, a.K, 0);
        fetch_rows<WARPS>(x.v, a.v, at, a.H, token, a.V, at.v0);
        if constexpr (BOTH) fetch_rows<WARPS>(x.gv.x, a.gv, at, a.H, token, a.V, at.v0);
    }

    struct Chunk {
        Rest& s;
        Stage& x;
        const Args& a;
        const Place<Args>& at;
        int token;

        TILE_FN Elements<T> keys(const T* base) const { return {base, at.seq, token, a.H, at.h, a.K, 0}; }
        TILE_FN Elements<T> values(const T* base) const { return {base, at.seq, token, a.H, at.h, a.V, at.v0}; }

        // whether channels of keys, of keys or values are late
        struct Late {
            bool keys, any;
        };

        // folds the gates into q, k and v
        TILE_FN Late fold_gates() {
            Keys G;
            sums(G, x.g, s.last, s.scratch);
            if constexpr (BOTH) {
                auto& y = s.values.x;
                Values Gv;
                sums(Gv, x.gv.x, y.last, y.scratch);
                keep(y.G, Gv);
                fold(x.v, Gv, [](float G, int) { return rise<T>(G, REACH); });
            }
            barrier();
            const bool keys_late = lowest(s.last) < -REACH;
            bool any = keys_late;
            if constexpr (BOTH) any = any || lowest(s.values.x.last) < -REACH;
            if (any) {
                keep(s.G, G);
                barrier();
                late_products<WARPS>(s.p, keys(a.q), keys(a.k), s.G, REACH, a.scale);
            }
            for_each_index<WARPS, K>([&](int c) { s.decay[c] = exp<T>(s.last[c]); });
            fold(x.q, G, [](float G, int) { return exp<T>(G); });
            fold(x.k, G, [](float G, int) { return rise<T>(G, REACH); });
            publish();
            return {keys_late, any};
        }

        TILE_FN void scores(bool late) {
            Acc<C, C, WARPS> P;
            P.fill(0);
            mma<LOWER_OUT>(P, x.q, t(x.k));
            const float scale = a.scale;
            if (late)
                zip(P, s.p, [&](float& y, float more, int i, int j) { y = i >= j ? fused(y, scale, more) : 0.f; });
            else
                P.for_each([&](float& y, int i, int j) { y = i >= j ? y * scale : 0.f; });
            store(s.p, P);
        }

        // O^T = scale S^T q^T + v^T P^T
        TILE_FN void outputs(const State& S, Reg<T, V, C, WARPS>& v, bool late) {
            Acc<V, C, WARPS> O;
            O.fill(0);
            product(O, rounded<T>(S), t(x.q));
            scores(late);
            publish();
            const float scale = a.scale;
            O.for_each([&](float& y, int, int) { y *= scale; });
            product<UPPER_B>(O, v, t(s.p));
            if constexpr (BOTH) gate_outputs(O, late);
            const Rows<T> o(a.o, at.seq, token, a.H, at.h, a.V, at.v0);
            store_global(o.ptr, o.ld, t(x.v), O, at.given(token / C, at.seq.length - token), a.V - at.v0);
        }

        TILE_FN void gate_outputs(Acc<V, C, WARPS>& O, bool late) {
            auto& y = s.values.x;
            O.for_each([&](float& z, int v, int i) { z *= exp<T>(y.G.at(i, v)); });
            if (!late) return;
            const Elements<T> v = values(a.v);
            for_each_rolled<WARPS>(C * V, [&](int n) {
                const int i = n / V, c = n % V;
                y.late.set(i, c, late_before(s.p, v, y.G, REACH, i, c));
            });
            barrier();
            zip(O, t(y.late), [](float& z, float more, int, int) { z += more; });
        }

        // keys or values, and their sums of gates: relative to the chunk's end instead of its beginning
        template <int N>
        TILE_FN void turn(Tile<T, C, N>& tile, const T* base, int width, int column, const float (&last)[N],
                          const Tile<float, C, N>& G) {
            barrier();
            fetch_rows<WARPS>(tile, base, at, a.H, token, width, column);
            commit();
            wait<0>();
            barrier();
            for_each_rolled<WARPS>(C * N, [&](int n) {
                const int i = n / N, c = n % N;
                tile.set(i, c, tile.at(i, c) * exp<T>(last[c] - G.at(i, c)));
            });
            publish();
        }

        TILE_FN void decay(State& S) const {
            S.for_each([&](float& y, int, int c) { y *= s.decay[c]; });
        }

        // the state at the chunk's end; values with gates are always turned: no column knows whether another is late
        TILE_FN void run(State& S) {
            const Late late = fold_gates();
            Reg<T, V, C, WARPS> v;
            v.load(t(x.v));
            if (a.o) outputs(S, v, late.any);
            if constexpr (BOTH) {
                const auto& y = s.values.x;
                turn(x.v, a.v, a.V, at.v0, y.last, y.G);
                v.load(t(x.v));
                S.for_each([&](float& z, int c, int) { z *= exp<T>(y.last[c]); });
            }
            if (late.keys) {
                turn(x.k, a.k, a.K, 0, s.last, s.G);
                decay(S);
                product(S, v, x.k);
            } else {
                product(S, v, x.k);
                decay(S);
            }
        }
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place<Args> at(a, C, V);
        if (at.part.idle) return;
        State S;
        S.fill(0);
        if (a.h0 && at.part.enters) load(S, a.h0 + at.state, 1, a.V, a.V - at.v0, a.K);
        if (STAGES == 2 && at.chunks > 0) fetch(s.stage[0], a, at, 0);
        commit();
        for (int i = 0, slot = 0; i < at.chunks; i++, slot ^= STAGES - 1) {
            if (STAGES == 1 || a.states) barrier();
            if (STAGES == 1) {
                fetch(s.stage[0], a, at, i * C);
                commit();
            }
            if (a.states) store_global(a.states + at.kept(a, i), a.K, s.rest.state, S, at.given(i, a.V - at.v0), a.K);
            wait<0>();
            barrier();
            if (STAGES == 2 && i + 1 < at.chunks) fetch(s.stage[slot ^ (STAGES - 1)], a, at, (i + 1) * C);
            commit();
            Chunk{s.rest, s.stage[slot], a, at, i * C}.run(S);
        }
        if (a.ht && at.leaves(a)) store_global(a.ht + at.left(a), 1, a.V, S, a.V - at.v0, a.K);
    }
};
template <class T, int C, int K, int V>
struct GlaForward : Forward<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct GlaForwardBoth : Forward<T, C, K, V, true> {};

template <class T>
struct StateGradientsArgs {
    const T *q, *d_o, *g, *gv;  // as in the forward pass; d_o null for zeros
    const float* d_ht;          // [N, H, K, V] or null
    T* d_states;                // [total, H, V, K]: after every chunk; or null
    float* d_h0;                // [N, H, K, V] or null
    const long long *offsets, *chunks;
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long* windows;
    int H, K, V, slices, reverse, entering;
    float scale;
};
static_assert(sizeof(StateGradientsArgs<bf16>) == 128, "the launcher's twin must match");

// dS = exp(G_last) dS' + scale (exp(G) q)^T d_o, chunks from the last to the first
template <class T, int C, int K, int V, bool BOTH>
struct StateGradients {
    using Args = StateGradientsArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    using State = Acc<V, K, WARPS>;
    using Keys = Columns<C, K, WARPS>;
    using Values = Columns<C, V, WARPS>;
    struct Stage {
        Tile<T, C, K> q, g;
        Tile<T, C, V> d_o;
        Maybe<BOTH, Tile<T, C, V>> gv;
    };
    struct ValueGates {
        float last[V], scratch[Values::SCRATCH];
    };
    struct Rest {
        Tile<T, V, K> state;
        float last[K], scratch[Keys::SCRATCH];
        Maybe<BOTH, ValueGates> values;
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Rest) <= TILE_SHARED_MOST ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Rest rest;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place<Args, true>& at, int token) {
        fetch_rows<WARPS>(x.q, a.q, at, a.H, token, a.K, 0);
        fetch_rows<WARPS>(x.g, a.g, at, a.H, token, a.K, 0);
        fetch_rows<WARPS>(x.d_o, a.d_o, at, a.H, token, a.V, at.v0);
        if constexpr (BOTH) fetch_rows<WARPS>(x.gv.x, a.gv, at, a.H, token, a.V, at.v0);
    }

    static TILE_FN void chunk(Rest& s, Stage& x, State& S, float scale) {
        Keys G;
        sums(G, x.g, s.last, s.scratch);
        fold(x.q, G, [scale](float G, int) { return scale * exp<T>(G); });
        if constexpr (BOTH) {
            Values Gv;
            sums(Gv, x.gv.x, s.values.x.last, s.values.x.scratch);
            fold(x.d_o, Gv, [](float G, int) { return exp<T>(G); });
        }
        publish();
        Reg<T, V, C, WARPS> d_o;
        d_o.load(t(x.d_o));
        S.for_each([&](float& y, int, int c) { y *= exp<T>(s.last[c]); });
        if constexpr (BOTH) S.for_each([&](float& y, int v, int) { y *= exp<T>(s.values.x.last[v]); });
        product(S, d_o, x.q);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place<Args, true> at(a, C, V);
        if (at.part.idle) return;
        State S;
        S.fill(0);
        if (a.d_ht && at.part.enters) load(S, a.d_ht + at.state, 1, a.V, a.V - at.v0, a.K);
        if (STAGES == 2 && at.chunks > 0) fetch(s.stage[0], a, at, (at.chunks - 1) * C);
        commit();
        for (int i = at.chunks - 1, slot = 0; i >= 0; i--, slot ^= STAGES - 1) {
            if (STAGES == 1) {
                barrier();
                fetch(s.stage[0], a, at, i * C);
                commit();
            }
            if (a.d_states)
                store_global(a.d_states + at.kept(a, i), a.K, s.rest.state, S, at.given(i, a.V - at.v0), a.K);
            wait<0>();
            barrier();
            if (STAGES == 2 && i > 0) fetch(s.stage[slot ^ (STAGES - 1)], a, at, (i - 1) * C);
            commit();
            chunk(s.rest, s.stage[slot], S, a.scale);
        }
        if (a.d_h0 && at.leaves(a)) store_global(a.d_h0 + at.left(a), 1, a.V, S, a.V - at.v0, a.K);
    }
};
template <class T, int C, int K, int V>
struct GlaStateGradients : StateGradients<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct GlaStateGradientsBoth : StateGradients<T, C, K, V, true> {};

}  // namespace gla
