// What the CUDA and HIP back ends share: how tiles lie in shared memory and how work is dealt to warps and lanes.
// The including back end gives TILE_LANES, exp2, nearest, fused (a product plus a number, rounded once), the lane's element positions in a 16 x 16 block (block_row, block_col, and
// which of them share a row or a column), the operands Left<T> and Right<T> of a 16 x 16 x 16 product, and their loads.
#pragma once

namespace tile {

// a lane's element e of a block relative to its element 0, known at compile time
TILE_FN int row_step(int e) { return block_row(e) - block_row(0); }
TILE_FN int col_step(int e) { return block_col(e) - block_col(0); }

TILE_FN int warp() { return thread_index() / TILE_LANES; }
TILE_FN int lane() { return thread_index() % TILE_LANES; }

template <class T>
TILE_FN float through(float x) {
    return to_float(round_to<T>(x));
}

template <class T>
TILE_FN float exp(float x) {
    return exp2(x * 1.44269504f);
}
// The power of two apart, and a series for the rest: the instruction behind exp2 is off by up to two units in the last
// place, and always in the same direction near 1, which a state that hardly decays sums up over its tokens.
template <>
TILE_FN float exp<float>(float x) {
    const float n = nearest(x * 1.44269504f), r = fused(n, -1.42860677e-6f, fused(n, -0.693145752f, x));
    float p = fused(1.f / 5040, r, 1.f / 720);
    p = fused(fused(fused(p, r, 1.f / 120), r, 1.f / 24), r, 1.f / 6);
    p = fused(fused(fused(p, r, .5f), r, 1.f), r, 1.f);
    return x < -86.f ? 0.f : x > 88.72f ? exp2(200.f) : p * exp2(n - 1) * 2;
}

// 16 bytes of a row
struct alignas(16) Piece {
    uint32_t word[4];
};

// Rows are cut into 16-byte pieces whose place within the row is scrambled by the row number, so that eight rows of one
// column lie in different banks. The alignment lets a column offset be applied to a whole address by exclusive or.
template <class T_, int R, int N>
struct alignas(N * sizeof(T_) > 128 ? N * sizeof(T_) : 128) Tile {
    static_assert(R % 16 == 0 && N % 16 == 0, "tiles are made of 16 x 16 blocks");
    using T = T_;
    static constexpr int ROWS = R, COLS = N, WIDTH = 16 / sizeof(T), PIECES = N / WIDTH;
    T d[R * N];

    static TILE_FN int scramble(int r) { return PIECES >= 8 ? r & 7 : PIECES == 4 ? (r >> 1) & 3 : (r >> 2) & 1; }
    static TILE_FN int index(int r, int c) { return r * N + ((c / WIDTH) ^ scramble(r)) * WIDTH + c % WIDTH; }
    TILE_FN Piece* piece(int r, int p) { return reinterpret_cast<Piece*>(d + index(r, p * WIDTH)); }
    TILE_FN const Piece* piece(int r, int p) const { return reinterpret_cast<const Piece*>(d + index(r, p * WIDTH)); }
    TILE_FN float at(int r, int c) const { return to_float(d[index(r, c)]); }
    TILE_FN void set(int r, int c, float x) { d[index(r, c)] = round_to<T>(x); }
};
template <class S>
TILE_FN Transposed<S> t(S& tile) {
    return {tile};
}
template <int R2, class T, int R, int N>
TILE_FN Tile<T, R2, N>& rows(Tile<T, R, N>& tile, int i) {
    static_assert(R2 % 16 == 0, "a band of blocks");
    return *reinterpret_cast<Tile<T, R2, N>*>(tile.d + i * R2 * N);
}

// The block's warps form a grid of WARP_ROWS x WARP_COLS, each with BLOCK_ROWS x BLOCK_COLS blocks; warps left over idle.
template <int M, int N, int W>
struct Acc {
    static constexpr int WARP_ROWS = M / 16 < W ? M / 16 : W;
    static constexpr int WARP_COLS = N / 16 < W / WARP_ROWS ? N / 16 : W / WARP_ROWS;
    static constexpr int BLOCK_ROWS = M / 16 / WARP_ROWS, BLOCK_COLS = N / 16 / WARP_COLS;
    static_assert(BLOCK_ROWS * WARP_ROWS * 16 == M && BLOCK_COLS * WARP_COLS * 16 == N, "does not split over the warps");
    float d[BLOCK_ROWS][BLOCK_COLS][BLOCK_ELEMENTS];

    static TILE_FN bool active() { return WARP_ROWS * WARP_COLS == W || warp() < WARP_ROWS * WARP_COLS; }
    static TILE_FN int first_row() { return WARP_ROWS == 1 ? 0 : warp() / WARP_COLS * (M / WARP_ROWS); }
    static TILE_FN int first_col() { return WARP_COLS == 1 ? 0 : warp() % WARP_COLS * (N / WARP_COLS); }
    // f(block of elements, its first row, its first column)
    template <class F>
    TILE_FN void for_each_block(F f) {
        if (!active()) return;
        const int r0 = first_row(), c0 = first_col();
        TILE_UNROLL
        for (int m = 0; m < BLOCK_ROWS; m++) {
            TILE_UNROLL
            for (int n = 0; n < BLOCK_COLS; n++) f(d[m][n], r0 + 16 * m, c0 + 16 * n);
        }
    }
    template <class F>
    TILE_FN void for_each(F f) {
        for_each_block([&](float(&x)[BLOCK_ELEMENTS], int r0, int c0) {
            const int r = opaque(r0 + block_row(0)), c = c0 + block_col(0);
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++) f(x[e], r + row_step(e), c + col_step(e));
        });
    }
    TILE_FN void fill(float value) {
        TILE_UNROLL
        for (int m = 0; m < BLOCK_ROWS; m++) {
            TILE_UNROLL
            for (int n = 0; n < BLOCK_COLS; n++) {
                TILE_UNROLL
                for (int e = 0; e < BLOCK_ELEMENTS; e++) d[m][n][e] = value;
            }
        }
    }
};

template <class T_, int M, int K, int W>
struct Reg {
    using T = T_;
    using Source = Acc<M, K, W>;
    static_assert(M >= 16 * W, "a warp owns whole rows");
    static constexpr int BLOCK_ROWS = Source::BLOCK_ROWS, BLOCK_COLS = K / 16;
    Left<T> d[BLOCK_ROWS][BLOCK_COLS];

    // f(operand, block row within the warp, block column)
    template <class F>
    TILE_FN void for_each_block(F f) {
        TILE_UNROLL
        for (int m = 0; m < BLOCK_ROWS; m++) {
            TILE_UNROLL
            for (int k = 0; k < BLOCK_COLS; k++) f(d[m][k], m, k);
        }
    }
    template <class V>
    TILE_FN void load(const V& view) {
        const int r0 = Source::first_row();
        for_each_block([&](Left<T>& x, int m, int k) { load_left(x, view, r0 + 16 * m, 16 * k); });
    }
    TILE_FN void round(const Source& acc) {
        for_each_block([&](Left<T>& x, int m, int k) { round_left(x, acc.d[m][k]); });
    }
    template <class F>
    TILE_FN void for_each(F f) {
        const int r0 = Source::first_row();
        for_each_block([&](Left<T>& x, int m, int k) {
            float y[BLOCK_ELEMENTS];
            widen(y, x);
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++) f(y[e], r0 + 16 * m + block_row(e), 16 * k + block_col(e));
            round_left(x, y);
        });
    }
};

// an accumulator as left operand, rounded block by block within the product
template <class T, int M, int K, int W>
struct Rounded {
    const Acc<M, K, W>& acc;
};
template <class T, int M, int K, int W>
TILE_FN Rounded<T, M, K, W> rounded(const Acc<M, K, W>& acc) {
    static_assert(M >= 16 * W, "a warp owns whole rows");
    return {acc};
}

template <class T_, int R, int N>
struct Shape<Tile<T_, R, N>> {
    using T = T_;
    static constexpr int ROWS = R, COLS = N;
};
template <class S>
struct Shape<const S> : Shape<S> {};
template <class S>
struct Shape<Transposed<S>> {
    using T = typename Shape<S>::T;
    static constexpr int ROWS = Shape<S>::COLS, COLS = Shape<S>::ROWS;
};
template <class T_, int M, int K, int W>
struct Shape<Reg<T_, M, K, W>> {
    using T = T_;
    static constexpr int ROWS = M, COLS = K;
};
template <class T_, int M, int K, int W>
struct Shape<Rounded<T_, M, K, W>> : Shape<Reg<T_, M, K, W>> {};

// block (m, k) of the warp's left operand
template <class T, int M, int K, int W>
TILE_FN void get_left(Left<T>& out, const Reg<T, M, K, W>& a, int, int m, int k) {
    out = a.d[m][k];
}
template <class T, int M, int K, int W>
TILE_FN void get_left(Left<T>& out, const Rounded<T, M, K, W>& a, int, int m, int k) {
    round_left(out, a.acc.d[m][k]);
}
template <class T, class V>
TILE_FN void get_left(Left<T>& out, const V& a, int first_row, int m, int k) {
    load_left(out, a, first_row + 16 * m, 16 * k);
}

template <Mask MASK = FULL, int M, int N, int W, class A, class B>
TILE_FN void mma(Acc<M, N, W>& acc, const A& a, const B& b) {
    using C = Acc<M, N, W>;
    using T = typename Shape<A>::T;
    static_assert(Shape<A>::ROWS == M && Shape<B>::COLS == N && Shape<A>::COLS == Shape<B>::ROWS, "shapes differ");
    if (!C::active()) return;
    const int r0 = C::first_row(), c0 = C::first_col();
    TILE_UNROLL
    for (int k = 0; k < Shape<A>::COLS / 16; k++) {
        // conditions below are the same for a whole warp
        if (MASK == LOWER_A && 16 * k >= r0 + 16 * C::BLOCK_ROWS) continue;
        if (MASK == UPPER_A && 16 * k < r0) continue;
        Left<T> left[C::BLOCK_ROWS];
        TILE_UNROLL
        for (int m = 0; m < C::BLOCK_ROWS; m++) get_left(left[m], a, r0, m, k);
        TILE_UNROLL
        for (int n = 0; n < C::BLOCK_COLS; n++) {
            if (MASK == LOWER_OUT && c0 + 16 * n >= r0 + 16 * C::BLOCK_ROWS) continue;
            if (MASK == UPPER_B && 16 * k > c0 + 16 * n) continue;
            Right<T> right;
            load_right(right, b, 16 * k, c0 + 16 * n);
            TILE_UNROLL
            for (int m = 0; m < C::BLOCK_ROWS; m++) multiply(acc.d[m][n], left[m], right);
        }
    }
}

template <int M, int N, int W, class V, class F>
TILE_FN void zip(Acc<M, N, W>& acc, const V& view, F f) {
    static_assert(Shape<V>::ROWS == M && Shape<V>::COLS == N, "shapes differ");
    acc.for_each_block([&](float(&x)[BLOCK_ELEMENTS], int r, int c) {
        Left<typename Shape<V>::T> block;
        float y[BLOCK_ELEMENTS];
        load_left(block, view, r, c);
        widen(y, block);
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) f(x[e], y[e], r + block_row(e), c + block_col(e));
    });
}
template <int M, int N, int W, class F>
TILE_FN void zip(Acc<M, N, W>& acc, const Acc<M, N, W>& other, F f) {
    using C = Acc<M, N, W>;
    if (!C::active()) return;
    TILE_UNROLL
    for (int m = 0; m < C::BLOCK_ROWS; m++) {
        TILE_UNROLL
        for (int n = 0; n < C::BLOCK_COLS; n++) {
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++)
                f(acc.d[m][n][e], other.d[m][n][e], C::first_row() + 16 * m + block_row(e),
                  C::first_col() + 16 * n + block_col(e));
        }
    }
}

template <class V, int M, int N, int W>
TILE_FN void store(V&& view, const Acc<M, N, W>& acc) {
    using C = Acc<M, N, W>;
    if (!C::active()) return;
    TILE_UNROLL
    for (int m = 0; m < C::BLOCK_ROWS; m++) {
        TILE_UNROLL
        for (int n = 0; n < C::BLOCK_COLS; n++)
            store_block(view, C::first_row() + 16 * m, C::first_col() + 16 * n, acc.d[m][n]);
    }
}

template <int W, int N, class F>
TILE_FN void for_each_index(F f) {
    constexpr int THREADS = W * TILE_LANES;
    TILE_UNROLL
    for (int first = 0; first < N; first += THREADS) {
        const int i = first + opaque(thread_index());
        if (N % THREADS == 0 || i < N) f(i);
    }
}
template <int W, class T, class U, int R, int N, class F>
TILE_FN void map(Tile<T, R, N>& dst, const Tile<U, R, N>& src, F f) {
    for_each_index<W, R * N / 4>([&](int i) {
        const int r = i / (N / 4), c = i % (N / 4) * 4;
        TILE_UNROLL
        for (int e = 0; e < 4; e++) dst.set(r, c + e, f(src.at(r, c + e), r, c + e));
    });
}
template <int W, class T, int R, int N>
TILE_FN void fill(Tile<T, R, N>& tile, float x) {
    for_each_index<W, R * N / 4>([&](int i) {
        TILE_UNROLL
        for (int e = 0; e < 4; e++) tile.set(i / (N / 4), i % (N / 4) * 4 + e, x);
    });
}

// whether every row of a matrix starts on a 16-byte boundary
template <class U>
TILE_FN bool wide(const U* ptr, int64_t ld) {
    return ((reinterpret_cast<uintptr_t>(ptr) | static_cast<uint64_t>(ld * static_cast<int64_t>(sizeof(U)))) & 15) == 0;
}
// 16 bytes of T from up to n elements of global memory, the rest zero
template <class T, class U>
TILE_FN Piece gather(const U* ptr, int n) {
    constexpr int WIDTH = 16 / sizeof(T);
    union {
        Piece piece;
        T element[WIDTH];
    } x;
    TILE_UNROLL
    for (int e = 0; e < WIDTH; e++) x.element[e] = e < n ? round_to<T>(to_float(ptr[e])) : round_to<T>(0.f);
    return x.piece;
}
// the same for n full and ptr aligned to 16 bytes
template <class T>
TILE_FN Piece gather_wide(const float* ptr) {
    constexpr int WIDTH = 16 / sizeof(T);
    union {
        Piece piece;
        T element[WIDTH];
    } x;
    TILE_UNROLL
    for (int e = 0; e < WIDTH; e += 4) {
        const Float4 y = *reinterpret_cast<const Float4*>(ptr + e);
        TILE_UNROLL
        for (int i = 0; i < 4; i++) x.element[e + i] = round_to<T>(y.x[i]);
    }
    return x.piece;
}
template <class T>
TILE_FN Piece gather_wide(const T* ptr) {
    return *reinterpret_cast<const Piece*>(ptr);
}

template <int W, bool ASYNC, class T, int R, int N, class U>
TILE_FN void load_pieces(Tile<T, R, N>& tile, const U* ptr, int64_t ld, int rows, int cols) {
    constexpr int WIDTH = 16 / sizeof(T), PIECES = N / WIDTH, THREADS = W * TILE_LANES;
    const bool aligned = wide(ptr, ld);
    cols = opaque(cols);
    auto whole = [&](int r, int p) {
        const U* src = ptr + r * ld + p * WIDTH;
        if constexpr (ASYNC)
            copy_async(tile.piece(r, p), src);
        else
            *tile.piece(r, p) = gather_wide<T>(src);
    };
    if (aligned && rows >= R && cols >= N) {
        for_each_index<W, R * PIECES>([&](int i) { whole(i / PIECES, i % PIECES); });
        return;
    }
    TILE_ROLL
    for (int i = opaque(thread_index()); i < R * PIECES; i += THREADS) {
        const int r = i / PIECES, p = i % PIECES, n = r < rows ? cols - p * WIDTH : 0;
        if (aligned && n >= WIDTH)
            whole(r, p);
        else
            *tile.piece(r, p) = gather<T>(ptr + (n > 0 ? r * ld + p * WIDTH : 0), n);
    }
}
template <int W, class T, int R, int N, class U>
TILE_FN void load(Tile<T, R, N>& tile, const U* ptr, int64_t ld, int rows, int cols) {
    load_pieces<W, false>(tile, ptr, ld, rows, cols);
}
template <int W, class T, int R, int N>
TILE_FN void load_async(Tile<T, R, N>& tile, const T* ptr, int64_t ld, int rows, int cols) {
    load_pieces<W, true>(tile, ptr, ld, rows, cols);
}
template <int W, int N, class U>
TILE_FN void load(float (&x)[N], const U* ptr, int64_t stride, int n) {
    for_each_index<W, N>([&](int i) { x[i] = i < n ? to_float(ptr[i * stride]) : 0.f; });
}
template <int W, int N>
TILE_FN void load_async(float (&x)[N], const float* ptr, int64_t stride, int n) {
    for_each_index<W, N>([&](int i) {
        if (i < n)
            copy_async(x + i, ptr + i * stride);
        else
            x[i] = 0.f;
    });
}

template <int W, class T, int R, int N>
TILE_FN void store_global(T* ptr, int64_t ld, const Tile<T, R, N>& tile, int rows, int cols) {
    constexpr int WIDTH = 16 / sizeof(T), PIECES = N / WIDTH, THREADS = W * TILE_LANES;
    auto whole = [&](int r, int p) { *reinterpret_cast<Piece*>(ptr + r * ld + p * WIDTH) = *tile.piece(r, p); };
    const bool aligned = wide(ptr, ld);
    cols = opaque(cols);
    if (aligned && rows >= R && cols >= N) {
        for_each_index<W, R * PIECES>([&](int i) { whole(i / PIECES, i % PIECES); });
        return;
    }
    TILE_ROLL
    for (int i = opaque(thread_index()); i < R * PIECES; i += THREADS) {
        const int r = i / PIECES, p = i % PIECES, n = r < rows ? cols - p * WIDTH : 0;
        if (aligned && n >= WIDTH) {
            whole(r, p);
        } else {
            TILE_UNROLL
            for (int e = 0; e < WIDTH; e++)
                if (e < n) ptr[r * ld + p * WIDTH + e] = tile.d[tile.index(r, p * WIDTH) + e];
        }
    }
}
template <class U, int M, int N, int W>
TILE_FN void load(Acc<M, N, W>& acc, const U* ptr, int64_t row_stride, int64_t col_stride, int rows, int cols) {
    acc.for_each_block([&](float(&x)[BLOCK_ELEMENTS], int r0, int c0) {
        const int r = r0 + block_row(0), c = c0 + block_col(0), down = opaque(rows) - r, right = opaque(cols) - c;
        const U* src = ptr + r * row_stride + c * col_stride;
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) {
            const int i = row_step(e), j = col_step(e);
            x[e] = i < down && j < right ? to_float(src[i * row_stride + j * col_stride]) : 0.f;
        }
    });
}
template <class U, int M, int N, int W>
TILE_FN void store_global(U* ptr, int64_t row_stride, int64_t col_stride, const Acc<M, N, W>& acc, int rows, int cols) {
    const_cast<Acc<M, N, W>&>(acc).for_each_block([&](float(&x)[BLOCK_ELEMENTS], int r0, int c0) {
        const int r = r0 + block_row(0), c = c0 + block_col(0), down = opaque(rows) - r, right = opaque(cols) - c;
        U* dst = ptr + r * row_stride + c * col_stride;
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) {
            const int i = row_step(e), j = col_step(e);
            if (i < down && j < right) dst[i * row_stride + j * col_stride] = round_to<U>(x[e]);
        }
    });
}

template <int N>
struct Prefix {
    float high[N], low[N];
    TILE_FN float operator[](int i) const { return high[i] + low[i]; }
    TILE_FN float between(int i, int j) const { return (high[i] - high[j]) + (low[i] - low[j]); }
};
// (high, low) += (x, y), the rounding error of high going to low
TILE_FN void add_exactly(float& high, float& low, float x, float y) {
    const float s = high + x, back = s - high;
    low += y + ((high - (s - back)) + (x - back));
    high = s;
}
template <int W, int N>
TILE_FN void prefix_sum(Prefix<N>& G, const float (&g)[N]) {
    constexpr int EACH = (N + TILE_LANES - 1) / TILE_LANES;
    if (warp() != 0) return;
    const int l = opaque(lane());
    float high[EACH], low[EACH], sum = 0, rest = 0;
    TILE_UNROLL
    for (int e = 0; e < EACH; e++) {
        const int i = l * EACH + e;
        const float x = i < N ? g[i] : 0.f;
        add_exactly(sum, rest, x < -1e5f ? -1e5f : x, 0.f);
        high[e] = sum;
        low[e] = rest;
    }
    float before = 0, before_rest = 0;
    for (int step = 1; step < TILE_LANES; step *= 2) {
        const float x = shuffle_up(sum, step), y = shuffle_up(rest, step);
        if (l >= step) {
            add_exactly(sum, rest, x, y);
            add_exactly(before, before_rest, x, y);
        }
    }
    TILE_UNROLL
    for (int e = 0; e < EACH; e++) {
        const int i = l * EACH + e;
        add_exactly(high[e], low[e], before, before_rest);
        if (i < N) {
            G.high[i] = high[e];
            G.low[i] = low[e];
        }
    }
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
template <int W, int M, int N, class F>
TILE_FN void row_sums(float (&out)[M], float (&scratch)[W * M], Acc<M, N, W>& acc, F f) {
    using C = Acc<M, N, W>;
    barrier();
    if (C::active()) {
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
                    if (block_col(e) == 0) scratch[warp() % C::WARP_COLS * M + r + block_row(e)] = total;
                }
        }
    }
    add_partial_sums<W, C::WARP_COLS>(out, scratch);
}
template <int W, int M, int N, class F>
TILE_FN void column_sums(float (&out)[N], float (&scratch)[W * N], Acc<M, N, W>& acc, F f) {
    using C = Acc<M, N, W>;
    barrier();
    if (C::active()) {
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
                    if (block_row(e) == 0) scratch[warp() / C::WARP_COLS * N + c + block_col(e)] = total;
                }
        }
    }
    add_partial_sums<W, C::WARP_ROWS>(out, scratch);
}
template <int W, class F>
TILE_FN float sum(float (&scratch)[W], int64_t n, F f) {
    float s = 0;
    for (int64_t i = thread_index(); i < n; i += W * TILE_LANES) s += f(i);
    for (int step = TILE_LANES / 2; step > 0; step /= 2) s += shuffle_xor(s, step);
    barrier();
    if (lane() == 0) scratch[warp()] = s;
    barrier();
    float total = scratch[0];
    TILE_UNROLL
    for (int w = 1; w < W; w++) total += scratch[w];
    barrier();
    return total;
}

// The 16 x 16 blocks on the diagonal by forward substitution, a column a lane; then pairs of inverted blocks of size S are
// joined into one of 2 S: the lower left of the inverse is -X22 (A21 X11), A21 being needed only there.
template <int W, int C, int S>
TILE_FN void join_inverses(Tile<float, C, C>& a) {
    constexpr int B = S / 16, ITEMS = C / (2 * S) * B * B, EACH = (ITEMS + W - 1) / W;
    float y[EACH][BLOCK_ELEMENTS];
    auto each = [&](auto f) {
        TILE_UNROLL
        for (int n = 0; n < EACH; n++) {
            const int item = n * W + warp(), pair = item / (B * B), r = item / B % B, c = item % B;
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
    for (int b = 16 * warp(); b < C; b += 16 * W) {
        const int j = lane() % 16;
        float x[16];
        TILE_UNROLL
        for (int i = 0; i < 16; i++) {
            x[i] = i == j ? 1.f : 0.f;
            TILE_UNROLL
            for (int k = 0; k < i; k++) x[i] -= a.at(b + i, b + k) * x[k];
        }
        warp_barrier();
        if (lane() < 16) {
            TILE_UNROLL
            for (int i = 0; i < 16; i++) a.set(b + i, b + j, x[i]);
        }
    }
    barrier();
    if constexpr (C > 16) join_inverses<W, C, 16>(a);
}

}  // namespace tile
