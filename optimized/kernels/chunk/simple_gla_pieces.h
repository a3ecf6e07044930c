// What a piece of a sequence does to a state: it decays, and a sum is added.
#pragma once
#include "simple_gla_forward.h"

namespace simple_gla {

template <class T>
struct PiecesArgs {
    const T *k, *v;                    // [B T, H, K], [B T, H, V]
    const float *g, *g_gamma;          // [B T, H], [H]; each may be null
    float *ends, *decays;              // [P, H, K, V], [P, H]
    const long long *offsets, *chunks;  // [P + 1] each
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long *windows, *windows_back;  // part.h; where nothing comes back, the first again
    int H, K, V, slices, reverse, entering;
    float scale;  // not used
};
static_assert(sizeof(PiecesArgs<bf16>) == 128, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct SimpleGlaPieces {
    using Args = PiecesArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    using State = Acc<V, K, WARPS>;
    struct Stage {
        Tile<T, C, K> k;
        Tile<T, C, V> v;
        float g[C];
    };
    struct Rest {
        Prefix<C> G;
        float out_of[C];
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Rest) <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Rest rest;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place<Args>& at, int chunk) {
        if (chunk < at.chunks) {
            fetch_rows<WARPS>(x.k, a.k, at, a.H, chunk * C, a.K, 0);
            fetch_rows<WARPS>(x.v, a.v, at, a.H, chunk * C, a.V, at.v0);
            load_gate<WARPS>(x.g, a.g, a.g_gamma, at.seq, chunk * C, a.H, at.h);
        }
        commit();
    }
    // adds the chunk's gates to total
    static TILE_FN void chunk(Rest& s, Stage& x, State& S, float& total) {
        prefix_sum<WARPS>(s.G, x.g);
        barrier();
        for_each_index<WARPS, C>([&](int i) { s.out_of[i] = exp<T>(s.G.between(C - 1, i)); });
        publish();
        Reg<T, V, C, WARPS> v;
        v.load(t(x.v));
        v.for_each([&](float& y, int, int j) { y *= s.out_of[j]; });
        const float last = s.G[C - 1], decay = exp<T>(last);
        total += last;
        S.for_each([decay](float& y, int, int) { y *= decay; });
        product(S, v, x.k);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place<Args> at(a, C, V);
        if (forgets_both_ways(a, at.part.first, a.H, at.h)) return;
        State S;
        S.fill(0);
        float total = 0;
        walk<STAGES>(
            at.chunks, [&](int place, int i) { fetch(s.stage[place], a, at, i); },
            [&](int place) { chunk(s.rest, s.stage[place], S, total); });
        store_global(a.ends + at.state, 1, a.V, S, a.V - at.v0, a.K);
        if (at.v0 == 0) for_each_index<WARPS, 1>([&](int) { a.decays[block_id() / a.slices] = exp<float>(total); });
    }
};

}  // namespace simple_gla

using simple_gla::SimpleGlaPieces;
