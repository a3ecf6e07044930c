// Outputs from up to K taps.
#pragma once

#include "short_convolution.h"

namespace convolution {

template <class T, int C, int K, int V>
struct ConvolutionForward {
    using Args = convolution::Args<T>;
    static constexpr int WARPS = convolution::WARPS, MIN_BLOCKS = 2, U = 8;
    struct Shared {
        float unused;
    };

    template <bool WIDE>
    static TILE_FN void walk(const Place<T, C, V>& at) {
        const Args& a = at.sequence.a;
        Taps<T, K, V> taps;
        float line[K - 1 + U][V];
        Few<T, V> next[U];
        const T* x = a.x + at.element;
        const T* residual = (a.residual ? a.residual : a.x) + at.element;
        T* o = a.o + at.element;
        fetch<WIDE>(next, x, a.D, at.count, at.n);
        taps.template load<WIDE>(a, at.column, at.n);
        taps.template before<WIDE>(line, at.sequence, at.from, at.column, at.n);
        TILE_ROLL
        for (int left = at.count; left > 0; left -= U) {
            TILE_UNROLL
            for (int u = 0; u < U; u++) {
                TILE_UNROLL
                for (int e = 0; e < V; e++) line[K - 1 + u][e] = next[u][e];
            }
            x += (long long)U * a.D;
            fetch<WIDE>(next, x, a.D, left - U, at.n);
            TILE_UNROLL
            for (int u = 0; u < U; u++) {
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
            shift<K - 1 + U, K - 1>(line);
        }
    }

    static TILE_FN void run(Shared&, const Args& a) {
        for_each_index<WARPS, THREADS>([&](int item) {
            const Place<T, C, V> at(a, item);
            if (at.n <= 0 || at.count <= 0) return;
            if (wide_rows(a.D, V))
                walk<true>(at);
            else
                walk<false>(at);
        });
    }
};

}  // namespace convolution
