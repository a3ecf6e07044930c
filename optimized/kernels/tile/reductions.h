// Prefix sums, sums and triangular inverses on top of device.h.
#pragma once

namespace tile {

template <int N>
struct Prefix {
    float high[N], low[N];
    TILE_FN float operator[](int i) const { return high[i] + low[i]; }
    TILE_FN float between(int i, int j) const { return (high[i] - high[j]) + (low[i] - low[j]); }
    template <class T>
    TILE_FN float decay(int i, int j) const {
        const float x = between(i, j);
        return exp<T>(i >= j ? x : -1e30f);
    }
};
template <int W, int N>
TILE_FN void prefix_sum(Prefix<N>& G, const float (&g)[N]) {
    constexpr int EACH = (N + TILE_LANES - 1) / TILE_LANES;
    if (warp<W>() != 0) return;
    const int l = opaque(lane());
    double to[EACH], own = 0;
    TILE_UNROLL
    for (int e = 0; e < EACH; e++) {
        const int i = l * EACH + e;
        const float x = i < N ? g[i] : 0.f;
        own += x < -1e5f ? -1e5f : x;
        to[e] = own;
    }
    double all = own;
    TILE_UNROLL
    for (int step = 1; step < TILE_LANES; step *= 2) {
        const double x = shuffle_up(all, step);
        all += l >= step ? x : 0.;
    }
    TILE_UNROLL
    for (int e = 0; e < EACH; e++) {
        const int i = l * EACH + e;
        const double sum = all - own + to[e];
        const float high = static_cast<float>(sum);
        if (i < N) {
            G.high[i] = high;
            G.low[i] = static_cast<float>(sum - high);
        }
    }
}

// by one of the W warps; x has to be there, and is there after the next barrier
template <int W, bool FROM, int N>
TILE_FN void scan(float (&x)[N], int by) {
    constexpr int EACH = (N + TILE_LANES - 1) / TILE_LANES;
    if (warp<W>() != by) return;
    const int l = opaque(lane());
    float before[EACH], own = 0;
    TILE_UNROLL
    for (int e = 0; e < EACH; e++) {
        const int i = FROM ? N - 1 - (l * EACH + e) : l * EACH + e;
        const float y = l * EACH + e < N ? x[i] : 0.f;
        before[e] = FROM ? own + y : own;
        own += y;
    }
    float all = own;
    TILE_UNROLL
    for (int step = 1; step < TILE_LANES; step *= 2) {
        const float y = shuffle_up(all, step);
        all += l >= step ? y : 0.f;
    }
    // not all - own: what a sum is of is small now and then where its neighbours are not
    const float lower = shuffle_up(all, 1), others = l > 0 ? lower : 0.f;
    TILE_UNROLL
    for (int e = 0; e < EACH; e++) {
        const int i = FROM ? N - 1 - (l * EACH + e) : l * EACH + e;
        if (l * EACH + e < N) x[i] = others + before[e];
    }
}
template <int W, int N>
TILE_FN void sums_from(float (&x)[N], int by) {
    scan<W, true>(x, by);
}
template <int W, int N>
TILE_FN void sums_before(float (&x)[N], int by) {
    scan<W, false>(x, by);
}

// scratch[c][i], c < COUNT, added up over c
template <int W, int COUNT, int N>
TILE_FN void add_partial_sums(float (&out)[N], const float* scratch) {
    barrier();
    for_each_index<W, N>([&](int i) {
        float s = scratch[i];
        TILE_UNROLL
        for (int c = 1; c < COUNT; c++) s += scratch[c * N + i];
        out[i] = s;
    });
    barrier();
}
// to(row, sum), by one lane for each row of a warp's part of an accumulator; to(column, sum) likewise
template <int M, int N, int W, class F, class To>
TILE_FN void each_row_sum(Acc<M, N, W>& acc, F f, To to) {
    using C = Acc<M, N, W>;
    TILE_UNROLL
    for (int m = 0; m < C::BLOCK_ROWS; m++) {
        float s[ROW_SLOTS] = {};
        const int r = C::first_row() + 16 * m;
        TILE_UNROLL
        for (int n = 0; n < C::BLOCK_COLS; n++) {
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++)
                s[row_slot(e)] += f(acc.d[m][n][e], r + block_row(e), C::first_col() + 16 * n + block_col(e));
        }
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++)
            if (first_of_row_slot(e)) {
                const float total = sum_over_row(s[row_slot(e)]);
                if (block_col(e) == 0) to(r + block_row(e), total);
            }
    }
}
template <int M, int N, int W, class F, class To>
TILE_FN void each_column_sum(Acc<M, N, W>& acc, F f, To to) {
    using C = Acc<M, N, W>;
    TILE_UNROLL
    for (int n = 0; n < C::BLOCK_COLS; n++) {
        float s[COL_SLOTS] = {};
        const int c = C::first_col() + 16 * n;
        TILE_UNROLL
        for (int m = 0; m < C::BLOCK_ROWS; m++) {
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++)
                s[col_slot(e)] += f(acc.d[m][n][e], C::first_row() + 16 * m + block_row(e), c + block_col(e));
        }
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++)
            if (first_of_col_slot(e)) {
                const float total = sum_over_column(s[col_slot(e)]);
                if (block_row(e) == 0) to(c + block_col(e), total);
            }
    }
}
template <int W, int M, int N, class F>
TILE_FN void row_sums(float (&out)[M], float (&scratch)[W * M], Acc<M, N, W>& acc, F f) {
    using C = Acc<M, N, W>;
    float* own = scratch + warp<W>() % C::WARP_COLS * M;
    barrier();
    if (C::active()) each_row_sum(acc, f, [&](int row, float total) { own[row] = total; });
    add_partial_sums<W, C::WARP_COLS>(out, scratch);
}
template <int W, int M, int N, class F>
TILE_FN void column_sums(float (&out)[N], float (&scratch)[W * N], Acc<M, N, W>& acc, F f) {
    using C = Acc<M, N, W>;
    float* own = scratch + warp<W>() / C::WARP_COLS * N;
    barrier();
    if (C::active()) each_column_sum(acc, f, [&](int column, float total) { own[column] = total; });
    add_partial_sums<W, C::WARP_ROWS>(out, scratch);
}
// for accumulators of which each warp owns whole rows; columns are summed over these
template <int M, int N, int W, class F>
TILE_FN void own_row_sums(float (&out)[M], Acc<M, N, W>& acc, F f) {
    using C = Acc<M, N, W>;
    static_assert(C::WARP_COLS == 1 && C::WARP_ROWS == W, "a warp owns whole rows");
    each_row_sum(acc, f, [&](int row, float total) { out[row] = total; });
}
// the same where rows are dealt to P warps each, a sum of every part
template <int P, int M, int N, int W, class F>
TILE_FN void own_row_sums(float (&out)[P][M], Acc<M, N, W>& acc, F f) {
    using C = Acc<M, N, W>;
    static_assert(C::WARP_COLS == P && C::WARP_ROWS * P == W, "as many parts as warps to a row");
    float(&own)[M] = out[warp<W>() % P];
    each_row_sum(acc, f, [&](int row, float total) { own[row] = total; });
}
template <int P, int M, int N, int W, class F>
TILE_FN void own_column_sums(float (&out)[P][N], Acc<M, N, W>& acc, F f) {
    using C = Acc<M, N, W>;
    static_assert(C::WARP_ROWS == P && C::WARP_COLS * P == W, "as many parts as warps to a column");
    float(&own)[N] = out[warp<W>() / C::WARP_COLS];
    each_column_sum(acc, f, [&](int column, float total) { own[column] = total; });
}
// the same of products with a tile, element by element
template <int M, int N, int W, class V>
TILE_FN void own_row_products(float (&out)[M], Acc<M, N, W>& acc, const V& view) {
    using C = Acc<M, N, W>;
    static_assert(C::WARP_COLS == 1 && C::WARP_ROWS == W, "a warp owns whole rows");
    TILE_UNROLL
    for (int m = 0; m < C::BLOCK_ROWS; m++) {
        float s[ROW_SLOTS] = {};
        const int r = C::first_row() + 16 * m;
        TILE_UNROLL
        for (int n = 0; n < C::BLOCK_COLS; n++) {
            Left<typename Shape<V>::T> block;
            float y[BLOCK_ELEMENTS];
            load_left(block, view, r, 16 * n);
            widen(y, block);
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++) s[row_slot(e)] = fused(acc.d[m][n][e], y[e], s[row_slot(e)]);
        }
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++)
            if (first_of_row_slot(e)) {
                const float total = sum_over_row(s[row_slot(e)]);
                if (block_col(e) == 0) out[r + block_row(e)] = total;
            }
    }
}
// Only the blocks on the diagonal are looked at by element; the others take a branch of a whole warp.
template <int N, int W>
TILE_FN void clear_diagonal(Acc<N, N, W>& acc) {
    acc.for_each_block([](float(&x)[BLOCK_ELEMENTS], int r0, int c0) {
        if (r0 != c0) return;
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) x[e] = block_row(e) == block_col(e) ? 0.f : x[e];
    });
}
template <bool STRICT, int N, int W>
TILE_FN void keep_lower(Acc<N, N, W>& acc) {
    acc.for_each_block([](float(&x)[BLOCK_ELEMENTS], int r0, int c0) {
        if (r0 > c0) return;
        if (r0 == c0) {
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++)
                x[e] = block_row(e) > block_col(e) || (!STRICT && block_row(e) == block_col(e)) ? x[e] : 0.f;
        } else {
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++) x[e] = 0.f;
        }
    });
}
#if defined(TILE_CUDA)
// acc is overwritten; a row's elements lie with four lanes, two neighbours each of eight
template <int N, int W>
TILE_FN void own_crossing_sums(float (&out)[W][N], Acc<N, N, W>& acc) {
    using C = Acc<N, N, W>;
    const int l = opaque(lane()) % 4;
    TILE_UNROLL
    for (int m = 0; m < C::BLOCK_ROWS; m++) {
        TILE_UNROLL
        for (int slot = 0; slot < 2; slot++) {
            const int r = C::first_row() + 16 * m + block_row(2 * slot);
            float before = 0;
            TILE_UNROLL
            for (int n = 0; n < 2 * C::BLOCK_COLS; n++) {
                float* x = acc.d[m][n / 2] + 4 * (n % 2) + 2 * slot;
                const int c = 16 * (n / 2) + block_col(4 * (n % 2));
                const float own = x[0] + x[1];
                const float a = shuffle_up(own, 1), b = shuffle_up(own, 2), d = shuffle_up(own, 3);
                const float to = before + ((l >= 1 ? a : 0.f) + (l >= 2 ? b : 0.f) + (l >= 3 ? d : 0.f));
                before += sum_over_row(own);
                const float next = to + x[0];
                x[0] = r >= c ? to : 0.f;
                x[1] = r > c ? next : 0.f;
            }
        }
    }
    own_column_sums(out, acc, [](float y, int, int) { return y; });
}
#endif
template <int W>
TILE_FN void warp_sums(float (&out)[W], float s) {
    for (int step = TILE_LANES / 2; step > 0; step /= 2) s += shuffle_xor(s, step);
    if (lane() == 0) out[warp<W>()] = s;
}
template <int W>
TILE_FN float total(float (&scratch)[W], float s) {
    for (int step = TILE_LANES / 2; step > 0; step /= 2) s += shuffle_xor(s, step);
    barrier();
    if (lane() == 0) scratch[warp<W>()] = s;
    barrier();
    s = scratch[0];
    TILE_UNROLL
    for (int w = 1; w < W; w++) s += scratch[w];
    barrier();
    return s;
}
template <int W, class F>
TILE_FN float sum(float (&scratch)[W], int64_t n, F f) {
    float s = 0;
    for (int64_t i = thread<W>(); i < n; i += W * TILE_LANES) s += f(i);
    return total<W>(scratch, s);
}

// One 16 x 16 block on the diagonal by forward substitution, a column a lane, by one warp.
template <int C>
TILE_FN void invert_diagonal_block(Tile<float, C, C>& a, int b) {
    const int j = lane() % 16;
    float x[16];
    TILE_UNROLL
    for (int i = 0; i < 16; i++) x[i] = i == j ? 1.f : 0.f;
    TILE_UNROLL
    for (int k = 0; k < 16; k += 4) {
        TILE_UNROLL
        for (int i = k + 1; i < 16; i++) {
            const Float4 row = *reinterpret_cast<const Float4*>(a.piece(b + i, (b + k) / 4));
            TILE_UNROLL
            for (int e = 0; e < 4; e++)
                if (k + e < i) x[i] -= row.x[e] * x[k + e];
        }
    }
    warp_barrier();
    if (lane() < 16) {
        TILE_UNROLL
        for (int i = 0; i < 16; i++) a.set(b + i, b + j, x[i]);
    }
}
// The diagonal first; then pairs of inverted blocks of size S are
// joined into one of 2 S: the lower left of the inverse is -X22 (A21 X11), A21 being needed only there.
template <int W, int C, int S>
TILE_FN void join_inverses(Tile<float, C, C>& a) {
    constexpr int B = S / 16, ITEMS = C / (2 * S) * B * B, EACH = (ITEMS + W - 1) / W;
    float y[EACH][BLOCK_ELEMENTS];
    auto each = [&](auto f) {
        TILE_UNROLL
        for (int n = 0; n < EACH; n++) {
            const int item = n * W + warp<W>(), pair = item / (B * B), r = item / B % B, c = item % B;
            if (item < ITEMS) f(y[n], pair * 2 * S, 16 * r, 16 * c);
        }
    };
    auto accumulate = [&](float(&acc)[BLOCK_ELEMENTS], int a_row, int a_col, int b_row, int b_col, int from, int to) {
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) acc[e] = 0;
        for (int k = from; k <= to; k += 16) {
            Left<float> left;
            Right<float> right;
            load_left(left, a, a_row, a_col + k);
            load_right(right, a, b_row + k, b_col);
            multiply(acc, left, right);
        }
    };
    auto keep = [&](float(&x)[BLOCK_ELEMENTS], int d, int r, int c) { store_block(a, d + S + r, d + c, x); };
    each([&](float(&x)[BLOCK_ELEMENTS], int d, int r, int c) { accumulate(x, d + S + r, d, d, d + c, c, S - 16); });
    barrier();
    each(keep);
    barrier();
    each([&](float(&x)[BLOCK_ELEMENTS], int d, int r, int c) {
        accumulate(x, d + S + r, d + S, d + S, d + c, 0, r);
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) x[e] = -x[e];
    });
    barrier();
    each(keep);
    barrier();
    if constexpr (4 * S <= C) join_inverses<W, C, 2 * S>(a);
}
template <int W, int C>
TILE_FN void invert_unit_lower(Tile<float, C, C>& a) {
    barrier();
    for_each_index<W, C * C>([&](int i) {
        if (i % C / 16 > i / C / 16) a.set(i / C, i % C, 0.f);
    });
    for (int b = 16 * warp<W>(); b < C; b += 16 * W) invert_diagonal_block(a, b);
    barrier();
    if constexpr (C > 16) join_inverses<W, C, 16>(a);
}

// One element of the sum over k of a_{row k} a_{k column}, k in [from, to), four at a time.
template <int C>
TILE_FN float element(const Tile<float, C, C>& a, int row, int left, int top, int column, int from, int to, int K) {
    float sum = 0;
    TILE_UNROLL
    for (int k = 0; k < K; k += 4) {
        const Float4 x = *reinterpret_cast<const Float4*>(a.piece(row, (left + k) / 4));
        TILE_UNROLL
        for (int e = 0; e < 4; e++) sum = k >= from && k < to ? fused(x.x[e], a.at(top + k + e, column), sum) : sum;
    }
    return sum;
}
// Where there is a thread for each element of a quarter: blocks of eight by substitution, then pairs of blocks are joined,
// with what is halfway in the place of the zeros above the diagonal. It is the steps behind one another that take the time.
template <int W, class T, int C, class F>
TILE_FN void invert_by_elements(Tile<T, C, C>& out, Tile<float, C, C>& a, F f) {
    static_assert(C == 32 && W * TILE_LANES >= 256, "an element of a quarter for each thread");
    const int n = opaque(thread<W>());
    group_barrier<W>();
    if (n < 32) {
        const int b = n / 8 * 8, j = n % 8;
        float x[8];
        TILE_UNROLL
        for (int i = 0; i < 8; i++) x[i] = i == j ? 1.f : 0.f;
        TILE_UNROLL
        for (int k = 0; k < 8; k += 4) {
            TILE_UNROLL
            for (int i = k + 1; i < 8; i++) {
                const Float4 row = *reinterpret_cast<const Float4*>(a.piece(b + i, (b + k) / 4));
                TILE_UNROLL
                for (int e = 0; e < 4; e++)
                    if (k + e < i) x[i] -= row.x[e] * x[k + e];
            }
        }
        warp_barrier();
        TILE_UNROLL
        for (int i = 0; i < 8; i++) a.set(b + i, b + j, x[i]);
    }
    group_barrier<W>();
    {
        const int b = n / 64 * 16, r = n / 8 % 8, c = n % 8;
        if (n < 128) a.set(b + r, b + 8 + c, element(a, b + 8 + r, b, b, b + c, 0, 8, 8));
        group_barrier<W>();
        if (n < 128) a.set(b + 8 + r, b + c, -element(a, b + 8 + r, b + 8, b, b + 8 + c, 0, 8, 8));
    }
    group_barrier<W>();
    const int r = n / 16, c = n % 16;
    if (n < 256) a.set(r, 16 + c, element(a, 16 + r, 0, 0, c, c / 8 * 8, 16, 16));
    group_barrier<W>();
    if (n >= 256) return;
    out.set(16 + r, c, f(-element(a, 16 + r, 16, 0, 16 + c, 0, r / 8 * 8 + 8, 16), 16 + r, c));
    out.set(r, c, f(c > r ? 0.f : a.at(r, c), r, c));
    out.set(16 + r, 16 + c, f(c > r ? 0.f : a.at(16 + r, 16 + c), 16 + r, 16 + c));
    out.set(r, 16 + c, f(0.f, r, 16 + c));
}

// Block column w of the inverse by warp w, transposed, so that blocks already found are left operands:
// X_iw = -X_ii sum_k a_ik X_kw, w <= k < i.
template <int W, class T, int C, class F>
TILE_FN void invert_unit_lower(Tile<T, C, C>& out, Tile<float, C, C>& a, F f) {
    if constexpr (C == 32 && W * TILE_LANES >= 256) return invert_by_elements<W>(out, a, f);
    constexpr int BLOCKS = C / 16;
    static_assert(BLOCKS <= W, "a warp for each block column");
    const int w = warp<W>();
    group_barrier<W>();
    if (w < BLOCKS) invert_diagonal_block(a, 16 * w);
    group_barrier<W>();
    if (w >= BLOCKS) return;
    const Transposed<Tile<float, C, C>> view = t(a);
    Transposed<Tile<T, C, C>> to = t(out);
    Left<float> x[BLOCKS];
    TILE_UNROLL
    for (int i = 0; i < BLOCKS; i++) {
        float y[BLOCK_ELEMENTS] = {};
        if (i == w) {
            load_left(x[i], view, 16 * w, 16 * w);
            widen(y, x[i]);
        } else if (i > w) {
            float s[BLOCK_ELEMENTS] = {};
            Right<float> right;
            TILE_UNROLL
            for (int k = 0; k < i; k++) {
                if (k < w) continue;
                load_right(right, view, 16 * k, 16 * i);
                multiply(s, x[k], right);
            }
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++) s[e] = -s[e];
            Left<float> left;
            round_left(left, s);
            load_right(right, view, 16 * i, 16 * i);
            multiply(y, left, right);
            round_left(x[i], y);
        }
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) y[e] = f(y[e], 16 * i + block_col(e), 16 * w + block_row(e));
        store_block(to, 16 * w, 16 * i, y);
    }
}

}  // namespace tile
