// short_convolution: u_t = sum_j w_j x_{t-W+1+j} + b,  o_t = act(u_t) + r_t,  channel by channel in f32; act is the
// identity or u sigmoid(u). Before a sequence come the last W columns of x0, and xt are the last W columns of it (the
// first of them is 0: no tap reads it any more).
// Backward: d_u_t = d_o_t act'(u_t),  d_x_t = sum_j w_j d_u_{t+W-1-j} (+ d_xt of the same column),  d_r = d_o,
//   d_w_j = sum_t d_u_t x_{t-W+1+j},  d_b = sum_t d_u_t; d_x0 is what d_x would be before the sequence.
//
// A block works on one chunk of C tokens and COLUMNS pieces of V neighbouring channels. Its items are pieces of a
// segment of tokens, each walked from its first token to its last with the last W - 1 tokens in registers; the tokens
// of one group are on their way while the group before is computed. Backward walks W - 1 tokens further than its
// segment, for the d_u that the last of its tokens need. Up to K = 4 taps are kept so; fewer are padded with zeros in
// front. Kernels named Long take any W, an element at a time, at no such speed.
//
// Tokens are rows p of [B T, D]; sequence n owns the rows offsets[n] .. offsets[n+1]; chunks[n] = sum of ceil(length /
// C) over the sequences before n, total = chunks[N]. slices = ceil(D / (V COLUMNS)).
//
// forward:   ConvolutionForward or LongConvolutionForward      grid total slices
//            ConvolutionTail                                   grid N ceil(D / THREADS)    when xt is wanted
// backward:  ConvolutionBackward or LongConvolutionBackward    grid total slices
//            ConvolutionHead                                   grid N ceil(D / THREADS)    when d_x0 is wanted
//            ConvolutionSums                                   grid (TAPS + 1) ceil(D / 32) when d_weight or d_bias is
// workspace: partial, f32, total (TAPS + 1) D elements, TAPS = K or W (no initialisation needed), for those two alone.
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

using convolution::ConvolutionBackward;
using convolution::ConvolutionForward;
using convolution::ConvolutionHead;
using convolution::ConvolutionSums;
using convolution::ConvolutionTail;
using convolution::LongConvolutionBackward;
using convolution::LongConvolutionForward;
