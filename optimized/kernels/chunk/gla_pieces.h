// What a piece of a sequence does to a state: its channels decay, and a sum is added. Without gates of values.
#pragma once
#include "gla_forward.h"

namespace gla {

template <class T>
struct PiecesArgs {
    const T *k, *v, *g;                 // as in the forward pass
    float *ends, *decays;               // [P, H, K, V], [P, H, K]
    const long long *offsets, *chunks;  // [P + 1] each
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long *windows, *windows_back;  // part.h; where nothing comes back, the first again
    int H, K, V, slices, reverse, entering;
    float scale;  // not used
};
static_assert(sizeof(PiecesArgs<bf16>) == 120, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct GlaPieces {
    using Args = PiecesArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    using State = Acc<V, K, WARPS>;
    using Keys = Columns<C, K, WARPS>;
    struct Stage {
        Tile<T, C, K> k, g;
        Tile<T, C, V> v;
    };
    struct Rest {
        float last[K], decay[K], total[K], scratch[Keys::SCRATCH];
    };
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Rest) <= TILE_SHARED_MOST ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Rest rest;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place<Args>& at, int chunk) {
        if (chunk < at.chunks) {
            fetch_rows<WARPS>(x.k, a.k, at, a.H, chunk * C, a.K, 0);
            fetch_rows<WARPS>(x.g, a.g, at, a.H, chunk * C, a.K, 0);
            fetch_rows<WARPS>(x.v, a.v, at, a.H, chunk * C, a.V, at.v0);
        }
        commit();
    }
    static TILE_FN void chunk(Rest& s, Stage& x, State& S) {
        Keys G;
        sums(G, x.g, s.last, s.scratch);
        barrier();
        fold(x.k, G, [&](float G, int c) { return exp<T>(s.last[c] - G); });
        for_each_index<WARPS, K>([&](int c) {
            s.decay[c] = exp<T>(s.last[c]);
            s.total[c] += s.last[c];
        });
        publish();
        Reg<T, V, C, WARPS> v;
        v.load(t(x.v));
        S.for_each([&](float& y, int, int c) { y *= s.decay[c]; });
        product(S, v, x.k);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place<Args> at(a, C, V);
        if (forgets_both_ways(a, at.part.first, a.H, at.h)) return;
        State S;
        S.fill(0);
        for_each_index<WARPS, K>([&](int c) { s.rest.total[c] = 0; });
        walk<STAGES>(
            at.chunks, [&](int place, int i) { fetch(s.stage[place], a, at, i); },
            [&](int place) { chunk(s.rest, s.stage[place], S); });
        store_global(a.ends + at.state, 1, a.V, S, a.V - at.v0, a.K);
        const long long to = (long long)(block_id() / a.slices) * a.K;
        for_each_index<WARPS, K>([&](int c) {
            if (at.v0 == 0 && c < a.K) a.decays[to + c] = exp<float>(s.rest.total[c]);
        });
    }
};

}  // namespace gla

using gla::GlaPieces;
