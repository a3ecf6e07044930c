// Sums down the columns of a matrix on top of device.h.
#pragma once

namespace tile {

// a thread has neighbouring columns and a run of their rows
template <int R, int N, int W>
struct Columns {
    static constexpr int THREADS = W * TILE_LANES, PAIRS = N / 2, EACH = PAIRS > THREADS ? PAIRS / THREADS : 1;
    static constexpr int MOST = THREADS > PAIRS ? THREADS / PAIRS : 1, RUNS = MOST < R ? MOST : R, RUN = R / RUNS;
    static constexpr int SCRATCH = RUNS * N;
    static_assert(R % RUNS == 0 && (EACH == 1 || PAIRS % THREADS == 0), "does not split over the threads");
    float d[EACH][RUN][2];

    static TILE_FN bool active() { return PAIRS * RUNS >= THREADS || thread<W>() < PAIRS * RUNS; }
    static TILE_FN int run() { return RUNS == 1 ? 0 : thread<W>() / PAIRS; }
    static TILE_FN int column(int n) { return 2 * (RUNS == 1 ? n * THREADS + thread<W>() : thread<W>() % PAIRS); }
    template <class F>
    TILE_FN void for_each(F f) {
        if (!active()) return;
        const int r0 = opaque(run()) * RUN;
        TILE_UNROLL
        for (int n = 0; n < EACH; n++) {
            const int c = opaque(column(n));
            TILE_UNROLL
            for (int r = 0; r < RUN; r++) f(d[n][r][0], d[n][r][1], r0 + r, c);
        }
    }
};

template <class F, int R, int N, int W, class... Others>
TILE_FN void together(F f, Columns<R, N, W>& x, Others&... others) {
    using X = Columns<R, N, W>;
    if (!X::active()) return;
    const int r0 = opaque(X::run()) * X::RUN;
    TILE_UNROLL
    for (int n = 0; n < X::EACH; n++) {
        const int c = opaque(X::column(n));
        TILE_UNROLL
        for (int r = 0; r < X::RUN; r++) f(r0 + r, c, x.d[n][r], others.d[n][r]...);
    }
}

template <int W, bool BACK, bool OWN, int R, int N>
TILE_FN void sum_rows(Columns<R, N, W>& x, float (&scratch)[Columns<R, N, W>::SCRATCH]) {
    using X = Columns<R, N, W>;
    const int run = X::run();
    if (X::active()) {
        TILE_UNROLL
        for (int n = 0; n < X::EACH; n++) {
            float sum[2] = {};
            TILE_UNROLL
            for (int i = 0; i < X::RUN; i++) {
                float(&y)[2] = x.d[n][BACK ? X::RUN - 1 - i : i];
                TILE_UNROLL
                for (int e = 0; e < 2; e++) {
                    const float before = sum[e];
                    sum[e] += y[e];
                    y[e] = OWN ? sum[e] : before;
                }
            }
            TILE_UNROLL
            for (int e = 0; e < 2; e++) scratch[run * N + X::column(n) + e] = sum[e];
        }
    }
    group_barrier<W>();
    if (!X::active()) return;
    TILE_UNROLL
    for (int n = 0; n < X::EACH; n++) {
        TILE_UNROLL
        for (int e = 0; e < 2; e++) {
            const int c = X::column(n) + e;
            float before = 0;
            TILE_UNROLL
            for (int u = 0; u < X::RUNS; u++) {
                const float other = scratch[u * N + c];
                before += (BACK ? u > run : u < run) ? other : 0.f;
            }
            TILE_UNROLL
            for (int i = 0; i < X::RUN; i++) x.d[n][i][e] += before;
        }
    }
}
template <int W, bool BACK = false, int R, int N>
TILE_FN void running_sums(Columns<R, N, W>& x, float (&total)[N], float (&scratch)[Columns<R, N, W>::SCRATCH]) {
    using X = Columns<R, N, W>;
    sum_rows<W, BACK, true>(x, scratch);
    if (!X::active() || X::run() != (BACK ? 0 : X::RUNS - 1)) return;
    TILE_UNROLL
    for (int n = 0; n < X::EACH; n++) {
        TILE_UNROLL
        for (int e = 0; e < 2; e++) total[X::column(n) + e] = x.d[n][BACK ? 0 : X::RUN - 1][e];
    }
}
template <int W, int R, int N>
TILE_FN void sums_above(Columns<R, N, W>& x, float (&scratch)[Columns<R, N, W>::SCRATCH]) {
    sum_rows<W, false, false>(x, scratch);
}

template <int W, class T, int R, int N, class F>
TILE_FN void products_down(const Tile<T, R, N>& a, const Tile<T, R, N>& b, float (&out)[Columns<R, N, W>::SCRATCH],
                           F weight) {
    using X = Columns<R, N, W>;
    if (!X::active()) return;
    const int r0 = opaque(X::run()) * X::RUN;
    TILE_UNROLL
    for (int n = 0; n < X::EACH; n++) {
        const int c = opaque(X::column(n));
        float sum[2] = {};
        TILE_UNROLL
        for (int r = 0; r < X::RUN; r++) {
            float x[2], y[2];
            a.get_pair(x[0], x[1], r0 + r, c);
            b.get_pair(y[0], y[1], r0 + r, c);
            TILE_UNROLL
            for (int e = 0; e < 2; e++) sum[e] = fused(x[e], y[e], sum[e]);
        }
        TILE_UNROLL
        for (int e = 0; e < 2; e++) out[X::run() * N + c + e] = weight(c + e) * sum[e];
    }
}

template <int N>
TILE_FN float lowest(const float (&x)[N]) {
    float low = x[lane() % N];
    for (int i = lane() + TILE_LANES; i < N; i += TILE_LANES) low = x[i] < low ? x[i] : low;
    for (int step = TILE_LANES / 2; step > 0; step /= 2) {
        const float other = shuffle_xor(low, step);
        low = other < low ? other : low;
    }
    return low;
}

template <int W, class F>
TILE_FN void for_each_rolled(int n, F f) {
    TILE_ROLL
    for (int i = opaque(thread<W>()); i < n; i += W * TILE_LANES) f(i);
}

}  // namespace tile
