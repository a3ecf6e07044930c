// Outputs from up to K taps.
#pragma once

#include "short_convolution.h"

namespace convolution {

template <class T, int C, int K, int V>
struct ConvolutionForward {
    using Args = convolution::Args<T>;
    static constexpr int WARPS = convolution::WARPS, MIN_BLOCKS = 3, U = 8, ROWS = K - 1 + U;
    using Ring = convolution::Ring<T, V, U, 3>;
    struct Shared {
        Ring x;
    };

    template <bool WIDE>
    static TILE_FN void walk(Shared& s, int item, const Place<T, C, V>& at) {
        const Args& a = at.sequence.a;
        Taps<T, K, V> taps;
        float line[ROWS][V];
        const T* x = a.x + at.element;
        const T* residual = (a.residual ? a.residual : a.x) + at.element;
        T* o = a.o + at.element;
        int ahead = at.count, to = 0, from = 0;
        auto fetch = [&] {
            s.x.template fetch<WIDE>(item, to, x, a.D, ahead, at.n);
            commit();
            x += (long long)U * a.D;
            ahead -= U;
            to = Ring::after(to);
        };
        TILE_UNROLL
        for (int stage = 1; stage < Ring::STAGES; stage++) fetch();
        taps.template load<WIDE>(a, at.column, at.n);
        taps.template before<WIDE>(line, at.sequence, at.from, at.column, at.n);
        TILE_ROLL
        for (int left = at.count; left > 0; left -= U) {
            fetch();
            wait<Ring::STAGES - 1>();
            TILE_UNROLL
            for (int u = 0; u < U; u++) {
                s.x.get(line[K - 1 + u], item, from, u, left);
                float y[V];
                TILE_UNROLL
                for (int e = 0; e < V; e++) y[e] = activated<T>(taps.u(line, u, e), a.swish);
                if (u >= left) continue;
                if (a.residual) {
                    float more[V];
                    read_floats<WIDE>(more, residual + (long long)u * a.D, at.n);
                    TILE_UNROLL
                    for (int e = 0; e < V; e++) y[e] += more[e];
                }
                write_floats<WIDE>(o + (long long)u * a.D, at.n, y);
            }
            o += (long long)U * a.D;
            residual += (long long)U * a.D;
            from = Ring::after(from);
            shift<ROWS, K - 1>(line);
        }
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        for_each_index<WARPS, THREADS>([&](int item) {
            const Place<T, C, V> at(a, item);
            if (at.n <= 0 || at.count <= 0) return;
            if (wide_rows(a.D, V))
                walk<true>(s, item, at);
            else
                walk<false>(s, item, at);
        });
    }
};

}  // namespace convolution
