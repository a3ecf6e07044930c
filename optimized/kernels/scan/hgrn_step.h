// hgrn's step of generation.
#pragma once
#include "hgrn.h"

namespace hgrn {

// Sequences of one token, or of none.
template <class T, int C, int K, int V>
struct HgrnStep {
    using Args = hgrn::Args<T>;
    static constexpr int THREADS = 256, WARPS = THREADS / TILE_LANES, MIN_BLOCKS = 1, EACH = 16 / sizeof(T);
    struct Shared {
        float unused;
    };

    template <bool WIDE>
    static TILE_FN void step(const Args& a, int n, int c) {
        const int left = a.D - c;
        const long long row = a.offsets[n], token = row * a.D + c, state = (long long)n * a.D + c;
        float h[EACH] = {};
        if (a.h0) read_floats<WIDE>(h, a.h0 + state, left);
        if (row < a.offsets[n + 1]) {
            float x[EACH], g[EACH];
            read_floats<WIDE>(x, a.x + token, left);
            read_floats<WIDE>(g, a.g + token, left);
            TILE_UNROLL
            for (int e = 0; e < EACH; e++) h[e] = fused(exp<float>(g[e]), h[e], x[e]);
            if (a.o) write_floats<WIDE>(a.o + token, left, h);
        }
        if (a.ht) write_floats<WIDE>(a.ht + state, left, h);
    }

    static TILE_FN void run(Shared&, const Args& a) {
        const int n = block_id() / a.slices, first = block_id() % a.slices * (THREADS * EACH);
        for_each_index<WARPS, THREADS>([&](int i) {
            const int c = first + i * EACH;
            if (c >= a.D) return;
            if (wide_rows(a.D, EACH))
                step<true>(a, n, c);
            else
                step<false>(a, n, c);
        });
    }
};

}  // namespace hgrn
