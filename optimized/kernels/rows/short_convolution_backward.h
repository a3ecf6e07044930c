// Gradients from up to K taps, and the sums of the taps' own over chunks.
#pragma once

#include "short_convolution.h"

namespace convolution {

template <class T, int C, int K, int V>
struct ConvolutionBackward {
    using Args = convolution::Args<T>;
    static constexpr int WARPS = convolution::WARPS, MIN_BLOCKS = 1, U = 8, ROWS = K - 1 + U;
    struct Sums {
        float of[K + 1][V];
    };
    struct Shared {
        float sums[SEGMENTS][K + 1][COLUMNS * V];
    };

    // d_u of U tokens into the end of a line, and what the first `left` of them add to the sums
    static TILE_FN void gradients(float (&line)[ROWS][V], const Taps<T, K, V>& taps, const float (&x)[ROWS][V],
                                  const Few<T, V> (&d_o)[U], int left, int swish, Sums& sums) {
        TILE_UNROLL
        for (int u = 0; u < U; u++) {
            TILE_UNROLL
            for (int e = 0; e < V; e++) {
                const float d = d_o[u][e] * slope<T>(taps.u(x, u, e), swish), counted = u < left ? d : 0.f;
                line[K - 1 + u][e] = d;
                sums.of[K][e] += counted;
                TILE_UNROLL
                for (int j = 0; j < K; j++) sums.of[j][e] = fused(counted, x[u + j][e], sums.of[j][e]);
            }
        }
    }

    template <bool WIDE>
    static TILE_FN void walk(const Place<T, C, V>& at, Sums& sums) {
        const Args& a = at.sequence.a;
        Taps<T, K, V> taps;
        float x[ROWS][V], d_u[ROWS][V] = {};
        Few<T, V> next[U], d_next[U];
        const T* from = a.x + at.element;
        const T* d_from = a.d_o ? a.d_o + at.element : nullptr;
        fetch<WIDE>(next, from, a.D, at.rest, at.n);
        fetch<WIDE>(d_next, d_from, a.D, at.rest, at.n);
        taps.template load<WIDE>(a, at.column, at.n);
        taps.template before<WIDE>(x, at.sequence, at.from, at.column, at.n);
        TILE_ROLL
        for (int done = 0; done < at.count + K - 1; done += U) {
            Few<T, V> d_o[U];
            TILE_UNROLL
            for (int u = 0; u < U; u++) {
                d_o[u] = d_next[u];
                TILE_UNROLL
                for (int e = 0; e < V; e++) x[K - 1 + u][e] = next[u][e];
            }
            const long long ahead = (long long)(done + U) * a.D;
            fetch<WIDE>(next, from + ahead, a.D, done + U < at.count + K - 1 ? at.rest - done - U : 0, at.n);
            fetch<WIDE>(d_next, d_from ? d_from + ahead : nullptr, a.D,
                        done + U < at.count + K - 1 ? at.rest - done - U : 0, at.n);
            gradients(d_u, taps, x, d_o, at.count - done, a.swish, sums);
            TILE_UNROLL
            for (int u = 0; u < U; u++) write<WIDE>(at, taps, d_u, d_o[u], u, done + u);
            shift<ROWS, K - 1>(x);
            shift<ROWS, K - 1>(d_u);
        }
    }

    // d_x of the token K - 1 before the item's token i, whose d_u is in row u + K - 1; d_residual of token i
    template <bool WIDE>
    static TILE_FN void write(const Place<T, C, V>& at, const Taps<T, K, V>& taps, const float (&d_u)[ROWS][V],
                              const Few<T, V>& d_o, int u, int i) {
        const Args& a = at.sequence.a;
        if (a.d_residual && i < at.count)
            d_o.template write<WIDE>(a.d_residual + at.element + (long long)i * a.D, at.n);
        const int to = i - (K - 1);
        if (!a.d_x || to < 0 || to >= at.count) return;
        float y[V];
        TILE_UNROLL
        for (int e = 0; e < V; e++) {
            y[e] = 0;
            TILE_UNROLL
            for (int j = 0; j < K; j++) y[e] = fused(taps.w[j][e], d_u[u + K - 1 - j][e], y[e]);
        }
        if (a.d_xt && at.rest - to < a.W) {
            TILE_UNROLL
            for (int e = 0; e < V; e++)
                if (e < at.n) y[e] += at.sequence.d_xt(at.from + to, at.column + e);
        }
        write_floats<WIDE>(a.d_x + at.element + (long long)to * a.D, at.n, y);
    }

    static TILE_FN void run(Shared& shared, const Args& a) {
        for_each_index<WARPS, THREADS>([&](int item) {
            const Place<T, C, V> at(a, item);
            Sums sums = {};
            if (at.n > 0 && at.count > 0) {
                if (wide_rows(a.D, V))
                    walk<true>(at, sums);
                else
                    walk<false>(at, sums);
            }
            if (!a.partial) return;
            TILE_UNROLL
            for (int j = 0; j <= K; j++) {
                TILE_UNROLL
                for (int e = 0; e < V; e++) shared.sums[item / COLUMNS][j][item % COLUMNS * V + e] = sums.of[j][e];
            }
        });
        if (!a.partial) return;
        barrier();
        const long long chunk = block_id() / a.slices;
        const int first = block_id() % a.slices * (COLUMNS * V);
        for_each_index<WARPS, (K + 1) * COLUMNS * V>([&](int i) {
            const int j = i / (COLUMNS * V), c = i % (COLUMNS * V);
            double sum = shared.sums[0][j][c];
            TILE_UNROLL
            for (int segment = 1; segment < SEGMENTS; segment++) sum += shared.sums[segment][j][c];
            if (first + c < a.D) a.partial[(chunk * (K + 1) + j) * a.D + first + c] = static_cast<float>(sum);
        });
    }
};

template <class T, int C, int K, int V>
struct ConvolutionSums {
    using Args = convolution::Args<T>;
    static constexpr int WARPS = convolution::WARPS, MIN_BLOCKS = 1, WIDTH = 32;
    struct Shared {
        double scratch[THREADS];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int slices = (a.D + WIDTH - 1) / WIDTH, first = block_id() % slices * WIDTH, j = block_id() / slices;
        const int taps = a.W <= K ? K : a.W, tap = j - (taps - a.W);
        if (j == taps ? !a.d_bias : !a.d_weight || tap < 0) return;
        const float* from = a.partial + (long long)j * a.D + first;
        matrix_column_sums<WARPS, WIDTH>(s.scratch, from, (long long)(taps + 1) * a.D, a.total, a.D - first,
                                         [&](int c, float sum) {
                                             if (j == taps)
                                                 a.d_bias[first + c] = round_to<T>(sum);
                                             else
                                                 a.d_weight[(long long)(first + c) * a.W + tap] = round_to<T>(sum);
                                         });
    }
};

}  // namespace convolution
