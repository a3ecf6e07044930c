// What the kernels of the short convolution share: sequences, the place of an item, its taps and its tokens.
#pragma once

#include "../tile/tile.h"

namespace convolution {
using namespace tile;

template <class T>
struct Args {
    const T *x, *weight, *bias, *residual, *x0;  // [B T, D], [D, W], [D] or null, [B T, D] or null, [N, D, W] or null
    const T *d_o, *d_xt;                         // [B T, D], [N, D, W], backward only, each may be null for zeros
    T *o, *xt;                                   // [B T, D], [N, D, W], forward only
    T *d_x, *d_residual, *d_x0;                  // [B T, D], [B T, D], [N, D, W], each may be null
    T *d_weight, *d_bias;                        // [D, W], [D], ConvolutionSums only, each may be null
    float* partial;                              // [total, TAPS + 1, D] or null: d_w by tap, then d_b
    const long long *offsets, *chunks;
    const int* sequence_of_chunk;
    long long total;
    int D, W, slices, swish;
};
static_assert(sizeof(Args<bf16>) == 18 * 8 + 8 + 4 * 4, "the launcher's twin must match");

constexpr int THREADS = 256, WARPS = THREADS / TILE_LANES, COLUMNS = 32, SEGMENTS = THREADS / COLUMNS;

template <class T>
TILE_FN float activated(float u, int swish) {
    return swish ? u * sigmoid<T>(u) : u;
}
template <class T>
TILE_FN float slope(float u, int swish) {
    const Sigmoids s = sigmoids<T>(u);
    return swish ? s.up * fused(u, s.down, 1.f) : 1.f;
}

// One sequence and what is asked of it element by element, whatever W is. Tokens count from its first one.
template <class T>
struct Sequence {
    const Args<T>& a;
    long long row, length;
    int n;

    TILE_FN Sequence(const Args<T>& a, int n) : a(a), row(a.offsets[n]), length(a.offsets[n + 1] - row), n(n) {}
    TILE_FN long long state(int c, long long m) const { return ((long long)n * a.D + c) * a.W + m; }
    // token t of channel c, from x0 when it is before the sequence
    TILE_FN float x(long long t, int c) const {
        if (t >= 0) return to_float(a.x[(row + t) * a.D + c]);
        return a.x0 && t > -a.W ? to_float(a.x0[state(c, t + a.W)]) : 0.f;
    }
    TILE_FN float weight(int c, int j) const { return to_float(a.weight[(long long)c * a.W + j]); }
    TILE_FN float u(long long t, int c) const {
        float u = a.bias ? to_float(a.bias[c]) : 0.f;
        for (int j = 0; j < a.W; j++) u = fused(weight(c, j), x(t - a.W + 1 + j, c), u);
        return u;
    }
    TILE_FN float d_o(long long t, int c) const { return a.d_o ? to_float(a.d_o[(row + t) * a.D + c]) : 0.f; }
    TILE_FN float d_u(long long t, int c) const {
        const float d = d_o(t, c);
        return a.swish ? d * slope<T>(u(t, c), 1) : d;
    }
    // what xt's cotangent is for token t, which may lie before the sequence
    TILE_FN float d_xt(long long t, int c) const {
        const long long m = t - length + a.W;
        return a.d_xt && m > 0 ? to_float(a.d_xt[state(c, m)]) : 0.f;
    }
    // the gradient by token t, which may lie before the sequence
    TILE_FN float d_x(long long t, int c) const {
        float d = d_xt(t, c);
        for (int j = a.W - 1; j >= 0; j--) {
            const long long from = t + a.W - 1 - j;
            if (from >= 0 && from < length) d = fused(weight(c, j), d_u(from, c), d);
        }
        return d;
    }
};

// the place of an item
template <class T, int C, int V>
struct Place {
    Sequence<T> sequence;
    int chunk, first, column, n;  // index of the chunk, first channel of the block, of the item, channels from there on
    long long from, element;      // first token, counted in the sequence, and its first element in [B T, D]
    int count, rest;              // tokens of the item, and those of the sequence from its first one on, up to a bound

    TILE_FN Place(const Args<T>& a, int item) : sequence(a, a.sequence_of_chunk[block_id() / a.slices]) {
        constexpr int EACH = C / SEGMENTS;
        chunk = block_id() / a.slices;
        first = block_id() % a.slices * (COLUMNS * V);
        column = first + item % COLUMNS * V;
        n = a.D - column;
        from = (chunk - a.chunks[sequence.n]) * C + item / COLUMNS * EACH;
        element = (sequence.row + from) * a.D + column;
        const long long left = sequence.length - from;
        rest = left < 2 * C ? (int)left : 2 * C;
        count = rest < EACH ? rest : EACH;
    }
};

// taps and history of an item, and its bias
template <class T, int K, int V>
struct Taps {
    float w[K][V], bias[V];

    template <bool WIDE>
    TILE_FN void load(const Args<T>& a, int c, int n) {
        TILE_UNROLL
        for (int e = 0; e < V; e++) bias[e] = 0;
        if (a.bias) read_floats<WIDE>(bias, a.bias + c, n);
        if (WIDE && a.W == K) {
            TILE_UNROLL
            for (int m = 0; m < K; m++) {
                Few<T, V> few;
                few.template read<true>(a.weight + (long long)c * K + m * V, V);
                TILE_UNROLL
                for (int e = 0; e < V; e++) w[(m * V + e) % K][(m * V + e) / K] = few[e];
            }
            return;
        }
        TILE_UNROLL
        for (int j = 0; j < K; j++) {
            TILE_UNROLL
            for (int e = 0; e < V; e++) {
                const int tap = j - (K - a.W);
                w[j][e] = tap >= 0 && e < n ? to_float(a.weight[(long long)(c + e) * a.W + tap]) : 0.f;
            }
        }
    }
    // the K - 1 tokens before t
    template <bool WIDE, int ROWS>
    TILE_FN static void before(float (&line)[ROWS][V], const Sequence<T>& s, long long t, int c, int n) {
        TILE_UNROLL
        for (int j = 0; j < K - 1; j++) {
            const long long from = t - (K - 1) + j;
            if (from >= 0) {
                read_floats<WIDE>(line[j], s.a.x + (s.row + from) * s.a.D + c, n);
            } else {
                TILE_UNROLL
                for (int e = 0; e < V; e++) line[j][e] = e < n ? s.x(from, c + e) : 0.f;
            }
        }
    }
    // u of the token in row i + K - 1 of a line
    template <int ROWS>
    TILE_FN float u(const float (&line)[ROWS][V], int i, int e) const {
        float u = bias[e];
        TILE_UNROLL
        for (int j = 0; j < K; j++) u = fused(w[j][e], line[i + j][e], u);
        return u;
    }
};

// U tokens, the first of which is `left` before the end of what there is, which is zero from there on
template <bool WIDE, class T, int U, int V>
TILE_FN void fetch(Few<T, V> (&x)[U], const T* ptr, int D, int left, int n) {
    TILE_UNROLL
    for (int u = 0; u < U; u++) {
        if (ptr && u < left) {
            x[u].template read<WIDE>(ptr + (long long)u * D, n);
        } else {
            const float zeros[V] = {};
            x[u].set(zeros);
        }
    }
}
// the last rows of a line become its first
template <int ROWS, int KEEP, int V>
TILE_FN void shift(float (&line)[ROWS][V]) {
    TILE_UNROLL
    for (int j = 0; j < KEEP; j++) {
        TILE_UNROLL
        for (int e = 0; e < V; e++) line[j][e] = line[j + ROWS - KEEP][e];
    }
}

}  // namespace convolution
