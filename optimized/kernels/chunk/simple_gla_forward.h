// simple_gla's forward pass, and the sweep back that gives the gradients of the states.
#pragma once
#include "sequence.h"

namespace simple_gla {
using namespace sequence;

// the gate of a chunk's tokens, from whichever source there is; zero past the sequence's end
template <int W, int C>
TILE_FN void load_gate(float (&x)[C], const float* g, const float* g_gamma, const Sequence& seq, int token, int H,
                       int h) {
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
    const float *g, *g_gamma, *h0;    // [B T, H], [H], [N, H, K, V]; each may be null, at most one of g, g_gamma is not
    const float* divisor;             // [B T, H], of the outputs, or null
    T* o;                             // [B T, H, V] or null
    float* ht;                        // [N, H, K, V] or null
    T* states;                        // [total, H, V, K]: before every chunk; or null
    const long long *offsets, *chunks;  // [N + 1] each
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long* windows;
    int H, K, V, slices, reverse, entering;
    float scale;
};
static_assert(sizeof(ForwardArgs<bf16>) == 152, "the launcher's twin must match");

// what divides the outputs of a chunk's tokens
template <int W, int C>
TILE_FN void load_divisor(float (&x)[C], const float* divisor, const Sequence& seq, int token, int H, int h) {
    if (!divisor) return;
    const Rows<const float> at(divisor, seq, token, H, h, 1);
    load_async<W>(x, at.ptr, at.ld, seq.length - token);
}

template <class T, int C, int K, int V>
struct SimpleGlaForward {
    using Args = ForwardArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    using State = Acc<V, K, WARPS>;  // transposed, so that a warp owns its rows in every product
    struct Stage {
        Tile<T, C, K> q, k;
        Tile<T, C, V> v;  // and o after it
        float g[C], divisor[C];
    };
    struct Rest {
        Tile<T, C, C> p;
        Tile<T, V, K> state;
        Prefix<C> G;
        float into[C], out_of[C];  // what the incoming state is worth at token i, token j in the outgoing one
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Rest) <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Rest rest;
    };

    static TILE_FN void fetch(Stage& s, const Args& a, const Place<Args>& at, int chunk) {
        const int token = chunk * C, left = at.seq.length - token;
        const Rows<const T> q(a.q, at.seq, token, a.H, at.h, a.K), k(a.k, at.seq, token, a.H, at.h, a.K);
        const Rows<const T> v(a.v, at.seq, token, a.H, at.h, a.V, at.v0);
        load_async<WARPS>(s.q, q.ptr, q.ld, left, a.K);
        load_async<WARPS>(s.k, k.ptr, k.ld, left, a.K);
        load_async<WARPS>(s.v, v.ptr, v.ld, left, a.V - at.v0);
        load_gate<WARPS>(s.g, a.g, a.g_gamma, at.seq, token, a.H, at.h);
        load_divisor<WARPS>(s.divisor, a.divisor, at.seq, token, a.H, at.h);
    }

    static TILE_FN void outputs(Rest& s, Stage& x, const State& S, const Reg<T, V, C, WARPS>& v, const Args& a,
                                const Place<Args>& at, int token) {
        const float scale = a.scale;
        Acc<C, C, WARPS> P;
        P.fill(0);
        mma<LOWER_OUT>(P, x.q, t(x.k));
        Acc<V, C, WARPS> O;
        O.fill(0);
        mma(O, rounded<T>(S), t(x.q));
        P.for_each([&](float& y, int i, int j) {
            const float decay = s.G.template decay<T>(i, j);
            y = i >= j ? y * scale * decay : 0.f;
        });
        store(s.p, P);
        barrier();
        O.for_each([&](float& y, int, int i) { y *= s.into[i]; });
        mma<UPPER_B>(O, v, t(s.p));
        if (a.divisor) O.for_each([&](float& y, int, int i) { y /= x.divisor[i]; });
        const Rows<T> o(a.o, at.seq, token, a.H, at.h, a.V, at.v0);
        store_global(o.ptr, o.ld, t(x.v), O, at.given(token / C, at.seq.length - token), a.V - at.v0);
    }

    static TILE_FN void chunk(Rest& s, Stage& x, State& S, const Args& a, const Place<Args>& at, int token) {
        prefix_sum<WARPS>(s.G, x.g);
        barrier();
        for_each_index<WARPS, C>([&](int i) {
            s.into[i] = a.scale * exp<T>(s.G[i]);
            s.out_of[i] = exp<T>(s.G.between(C - 1, i));
        });
        barrier();
        Reg<T, V, C, WARPS> v;
        v.load(t(x.v));
        if (a.o) outputs(s, x, S, v, a, at, token);
        v.for_each([&](float& y, int, int j) { y *= s.out_of[j]; });
        const float decay = exp<T>(s.G[C - 1]);
        S.for_each([decay](float& y, int, int) { y *= decay; });
        mma(S, v, x.k);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place<Args> at(a, C, V);
        if (at.part.idle) return;
        State S;
        S.fill(0);
        if (a.h0 && at.part.enters) load(S, a.h0 + at.state, 1, a.V, a.V - at.v0, a.K);
        if (STAGES == 2 && at.chunks > 0) fetch(s.stage[0], a, at, 0);
        commit();
        for (int i = 0, slot = 0; i < at.chunks; i++, slot ^= STAGES - 1) {
            if (STAGES == 1) {
                barrier();
                fetch(s.stage[0], a, at, i);
                commit();
            }
            if (a.states) store_global(a.states + at.kept(a, i), a.K, s.rest.state, S, at.given(i, a.V - at.v0), a.K);
            wait<0>();
            barrier();
            if (STAGES == 2 && i + 1 < at.chunks) fetch(s.stage[slot ^ (STAGES - 1)], a, at, i + 1);
            commit();
            chunk(s.rest, s.stage[slot], S, a, at, i * C);
        }
        if (a.ht && at.leaves(a)) store_global(a.ht + at.left(a), 1, a.V, S, a.V - at.v0, a.K);
    }
};

template <class T>
struct StateGradientsArgs {
    const T *q, *d_o;                      // [B T, H, K]; [B T, H, V] or null for zeros
    const float *g, *g_gamma, *d_ht;       // [B T, H], [H], [N, H, K, V]; each may be null
    T* d_states;                           // [total, H, V, K]: after every chunk; or null
    float* d_h0;                           // [N, H, K, V] or null
    const long long *offsets, *chunks;     // [N + 1] each
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long* windows;
    int H, K, V, slices, reverse, entering;
    float scale;
};
static_assert(sizeof(StateGradientsArgs<bf16>) == 128, "the launcher's twin must match");

// The gradient of the state after every chunk, from the last to the first:
//   dS = exp(G_last) dS' + (diag(scale exp G) Q)^T dO.
template <class T, int C, int K, int V>
struct SimpleGlaStateGradients {
    using Args = StateGradientsArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    using State = Acc<V, K, WARPS>;
    struct Stage {
        Tile<T, C, K> q;
        Tile<T, C, V> d_o;
        float g[C];
    };
    struct Rest {
        Tile<T, V, K> state;
        Prefix<C> G;
        float weight[C];
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Rest) <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Rest rest;
    };

    static TILE_FN void fetch(Stage& s, const Args& a, const Place<Args, true>& at, int chunk) {
        const int token = chunk * C, left = at.seq.length - token;
        const Rows<const T> q(a.q, at.seq, token, a.H, at.h, a.K);
        load_async<WARPS>(s.q, q.ptr, q.ld, left, a.K);
        if (a.d_o) {
            const Rows<const T> d_o(a.d_o, at.seq, token, a.H, at.h, a.V, at.v0);
            load_async<WARPS>(s.d_o, d_o.ptr, d_o.ld, left, a.V - at.v0);
        } else {
            fill<WARPS>(s.d_o, 0);
        }
        load_gate<WARPS>(s.g, a.g, a.g_gamma, at.seq, token, a.H, at.h);
    }

    static TILE_FN void chunk(Rest& s, Stage& x, State& S, float scale) {
        prefix_sum<WARPS>(s.G, x.g);
        barrier();
        for_each_index<WARPS, C>([&](int i) { s.weight[i] = scale * exp<T>(s.G[i]); });
        publish();
        Reg<T, V, C, WARPS> d_o;
        d_o.load(t(x.d_o));
        d_o.for_each([&](float& y, int, int i) { y *= s.weight[i]; });
        const float decay = exp<T>(s.G[C - 1]);
        S.for_each([decay](float& y, int, int) { y *= decay; });
        product(S, d_o, x.q);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place<Args, true> at(a, C, V);
        if (at.part.idle) return;
        State S;
        S.fill(0);
        if (a.d_ht && at.part.enters) load(S, a.d_ht + at.state, 1, a.V, a.V - at.v0, a.K);
        if (STAGES == 2 && at.chunks > 0) fetch(s.stage[0], a, at, at.chunks - 1);
        commit();
        for (int i = at.chunks - 1, slot = 0; i >= 0; i--, slot ^= STAGES - 1) {
            if (STAGES == 1) {
                barrier();
                fetch(s.stage[0], a, at, i);
                commit();
            }
            if (a.d_states)
                store_global(a.d_states + at.kept(a, i), a.K, s.rest.state, S, at.given(i, a.V - at.v0), a.K);
            wait<0>();
            barrier();
            if (STAGES == 2 && i > 0) fetch(s.stage[slot ^ (STAGES - 1)], a, at, i - 1);
            commit();
            chunk(s.rest, s.stage[slot], S, a.scale);
        }
        if (a.d_h0 && at.leaves(a)) store_global(a.d_h0 + at.left(a), 1, a.V, S, a.V - at.v0, a.K);
    }
};

}  // namespace simple_gla
