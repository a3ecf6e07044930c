// Any number of taps, and the ends of sequences.
#pragma once

#include "short_convolution.h"

namespace convolution {

template <class T, int C, int K, int V, bool BACK>
struct Long {
    using Args = convolution::Args<T>;
    static constexpr int WARPS = convolution::WARPS, MIN_BLOCKS = 1;
    struct Shared {
        float unused;
    };

    static TILE_FN void element(const Sequence<T>& s, long long t, int c) {
        const Args& a = s.a;
        const long long at = (s.row + t) * a.D + c;
        if (!BACK) {
            const float y = activated<T>(s.u(t, c), a.swish);
            a.o[at] = round_to<T>(y + (a.residual ? to_float(a.residual[at]) : 0.f));
            return;
        }
        if (a.d_x) a.d_x[at] = round_to<T>(s.d_x(t, c));
        if (a.d_residual) a.d_residual[at] = round_to<T>(s.d_o(t, c));
    }
    // tap j, or the bias when j = W
    static TILE_FN float sum(const Sequence<T>& s, long long from, long long to, int c, int j) {
        float sum = 0;
        for (long long t = from; t < to; t++)
            sum = fused(s.d_u(t, c), j < s.a.W ? s.x(t - s.a.W + 1 + j, c) : 1.f, sum);
        return sum;
    }

    static TILE_FN void run(Shared&, const Args& a) {
        const Place<T, C, V> at(a, 0);
        const Sequence<T>& s = at.sequence;
        const long long left = s.length - at.from, to = left < C ? s.length : at.from + C;
        for_each_index<WARPS, C * COLUMNS * V>([&](int i) {
            const long long t = at.from + i / (COLUMNS * V);
            const int c = at.first + i % (COLUMNS * V);
            if (t < to && c < a.D) element(s, t, c);
        });
        if (!BACK || !a.partial) return;
        for_each_index<WARPS, COLUMNS * V>([&](int i) {
            if (at.first + i >= a.D) return;
            for (int j = 0; j <= a.W; j++)
                a.partial[((long long)at.chunk * (a.W + 1) + j) * a.D + at.first + i] =
                    sum(s, at.from, to, at.first + i, j);
        });
    }
};
template <class T, int C, int K, int V>
struct LongConvolutionForward : Long<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct LongConvolutionBackward : Long<T, C, K, V, true> {};

// what a sequence leaves behind, and the gradient by what it started from
template <class T, int C, int K, int V, bool BACK>
struct Ends {
    using Args = convolution::Args<T>;
    static constexpr int WARPS = convolution::WARPS, MIN_BLOCKS = 1;
    struct Shared {
        float unused;
    };

    static TILE_FN void run(Shared&, const Args& a) {
        const int slices = (a.D + THREADS - 1) / THREADS, first = block_id() % slices * THREADS;
        const Sequence<T> s(a, block_id() / slices);
        for_each_index<WARPS, THREADS>([&](int i) {
            const int c = first + i;
            if (c >= a.D) return;
            for (int m = 0; m < a.W; m++) {
                float y = 0;
                if (m > 0) y = BACK ? s.d_x(m - a.W, c) : s.x(s.length - a.W + m, c);
                (BACK ? a.d_x0 : a.xt)[s.state(c, m)] = round_to<T>(y);
            }
        });
    }
};
template <class T, int C, int K, int V>
struct ConvolutionTail : Ends<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct ConvolutionHead : Ends<T, C, K, V, true> {};

}  // namespace convolution
