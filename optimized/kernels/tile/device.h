// What the CUDA and HIP back ends share: how tiles lie in shared memory and how work is dealt to warps and lanes.
// The including back end gives TILE_LANES, exp2, bits_to_float, float_to_bits, fused, the lane's element positions in
// a 16 x 16 block (block_row, block_col, and which of them share a row or a column), the operands Left<T> and Right<T>
// of a 16 x 16 x 16 product, and their loads.
#pragma once

namespace tile {

// a lane's element e of a block relative to its element 0, known at compile time
TILE_FN int row_step(int e) { return block_row(e) - block_row(0); }
TILE_FN int col_step(int e) { return block_col(e) - block_col(0); }

// within the W warps that work together: a whole block, or a role or group, which begins at a multiple of W
template <int W>
TILE_FN int thread() {
    return thread_index() % (W * TILE_LANES);
}
template <int W>
TILE_FN int warp() {
    return thread_index() / TILE_LANES % W;
}
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
// place, and always in the same direction near 1, which a state that hardly decays sums up over its tokens. Choices are
// between operands, not between results, so that no branch comes of them.
template <>
TILE_FN float exp<float>(float x) {
    const bool gone = x < -86.f;
    x = x > 89.f ? 89.f : x;
    const float shifted = fused(x, 1.44269504f, 12582912.f), n = shifted - 12582912.f;
    const float rest = fused(n, -1.42860677e-6f, fused(n, -0.693145752f, x)), r = gone ? 0.f : rest;
    float p = fused(1.f / 5040, r, 1.f / 720);
    p = fused(fused(fused(p, r, 1.f / 120), r, 1.f / 24), r, 1.f / 6);
    p = fused(fused(fused(p, r, .5f), r, 1.f), r, 1.f);
    const float half = bits_to_float((float_to_bits(shifted) - 0x4b400000u + 126u) << 23);
    return p * (gone ? 0.f : half) * 2;
}

// 16 bytes of a row
struct alignas(16) Piece {
    uint32_t word[4];
};

// two neighbours of a row, moved as one
template <class T>
struct alignas(2 * sizeof(T)) Pair {
    T x, y;
};

// Tiles of 16-bit elements are cut into panels of 64 columns, and rows into 16-byte pieces whose place within the row
// is scrambled by the row number, so that eight rows of one column lie in different banks; it is also how Hopper's
// products over warp groups want their operands. The alignment lets a column offset be applied to a whole address by
// exclusive or.
template <class T_, int R, int N>
struct alignas(sizeof(T_) == 2 ? 16 * (N < 64 ? N : 64) : N < 32 ? 128 : N * sizeof(T_)) Tile {
    static_assert(R % 16 == 0 && N % 16 == 0, "tiles are made of 16 x 16 blocks");
    using T = T_;
    static constexpr int ROWS = R, COLS = N, PANEL = sizeof(T) == 2 && N > 64 ? 64 : N;
    static constexpr int WIDTH = 16 / sizeof(T), PIECES = PANEL / WIDTH;
    static_assert(N % PANEL == 0, "whole panels");
    T d[R * N];

    static TILE_FN int scramble(int r) { return PIECES >= 8 ? r & 7 : PIECES == 4 ? (r >> 1) & 3 : (r >> 2) & 1; }
    static TILE_FN int index(int r, int c) {
        const int in_panel = r * PANEL + ((c % PANEL / WIDTH) ^ scramble(r)) * WIDTH + c % WIDTH;
        return PANEL == N ? in_panel : c / PANEL * (R * PANEL) + in_panel;
    }
    TILE_FN Piece* piece(int r, int p) { return reinterpret_cast<Piece*>(d + index(r, p * WIDTH)); }
    TILE_FN const Piece* piece(int r, int p) const { return reinterpret_cast<const Piece*>(d + index(r, p * WIDTH)); }
    // the piece n rows below the one at d[own], whose row has none of n's bits among its last three
    TILE_FN const Piece* piece_below(int own, int n) const {
        return reinterpret_cast<const Piece*>(d + ((own ^ scramble(n) * WIDTH) + n * PANEL));
    }
    TILE_FN float at(int r, int c) const { return to_float(d[index(r, c)]); }
    TILE_FN void set(int r, int c, float x) { d[index(r, c)] = round_to<T>(x); }
    TILE_FN void get_pair(float& x, float& y, int r, int c) const {
        const Pair<T> pair = *reinterpret_cast<const Pair<T>*>(d + index(r, c));
        x = to_float(pair.x);
        y = to_float(pair.y);
    }
    TILE_FN void set_pair(int r, int c, float x, float y) {
        *reinterpret_cast<Pair<T>*>(d + index(r, c)) = {round_to<T>(x), round_to<T>(y)};
    }
};
template <class S>
TILE_FN Transposed<S> t(S& tile) {
    return {tile};
}
// R2 rows of a tile, which lie where they lie in it: ROWS is what addresses go by
template <class S, int R2>
struct Band {
    using T = typename S::T;
    static constexpr int ROWS = S::ROWS, COLS = S::COLS, PANEL = S::PANEL;
    T* d;
    static TILE_FN int index(int r, int c) { return S::index(r, c); }
    TILE_FN Piece* piece(int r, int p) const { return reinterpret_cast<Piece*>(d + index(r, p * (16 / sizeof(T)))); }
};
template <int R2, class T, int R, int N>
TILE_FN Band<Tile<T, R, N>, R2> rows(Tile<T, R, N>& tile, int i) {
    static_assert(R2 % 16 == 0, "a band of blocks");
    return {tile.d + i * R2 * Tile<T, R, N>::PANEL};
}

// The warps form a grid of WARP_ROWS x WARP_COLS, each with BLOCK_ROWS x BLOCK_COLS blocks; warps left over idle.
template <int M, int N, int W>
struct Acc {
    static constexpr int WARP_ROWS = M / 16 < W ? M / 16 : W;
    static constexpr int WARP_COLS = N / 16 < W / WARP_ROWS ? N / 16 : W / WARP_ROWS;
    static constexpr int BLOCK_ROWS = M / 16 / WARP_ROWS, BLOCK_COLS = N / 16 / WARP_COLS;
    static_assert(BLOCK_ROWS * WARP_ROWS * 16 == M && BLOCK_COLS * WARP_COLS * 16 == N, "does not split over the warps");
    float d[BLOCK_ROWS][BLOCK_COLS][BLOCK_ELEMENTS];

    static TILE_FN bool active() { return WARP_ROWS * WARP_COLS == W || warp<W>() < WARP_ROWS * WARP_COLS; }
    static TILE_FN int first_row() { return WARP_ROWS == 1 ? 0 : warp<W>() / WARP_COLS * (M / WARP_ROWS); }
    static TILE_FN int first_col() { return WARP_COLS == 1 ? 0 : warp<W>() % WARP_COLS * (N / WARP_COLS); }
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
    template <class F>
    TILE_FN void for_each_pair(F f) {
        const int down = opaque(block_row(0)), right = block_col(0);
        for_each_block([&](float(&x)[BLOCK_ELEMENTS], int r0, int c0) {
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e += 2)
                f(x[e], x[e + 1], r0 + down + row_step(e), c0 + right + col_step(e));
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
    TILE_FN void load(const V& view, int column = 0) {
        const int r0 = Source::first_row();
        for_each_block([&](Left<T>& x, int m, int k) { load_left(x, view, r0 + 16 * m, column + 16 * k); });
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
template <class S, int R2>
struct Shape<Band<S, R2>> {
    using T = typename S::T;
    static constexpr int ROWS = R2, COLS = S::COLS;
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

#if defined(TILE_WARP_GROUP)
// nothing that touches these registers moves across
template <int M, int N, int W>
TILE_FN void pin(Acc<M, N, W>& acc) {
    acc.for_each_block([](float(&x)[BLOCK_ELEMENTS], int, int) {
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e++) asm volatile("" : "+f"(x[e])::"memory");
    });
}
template <class T, int M, int K, int W>
TILE_FN void pin(Reg<T, M, K, W>& left) {
    left.for_each_block([](Left<T>& x, int, int) {
        TILE_UNROLL
        for (int i = 0; i < 4; i++) asm volatile("" : "+r"(x.word[i])::"memory");
    });
}
template <class... Registers>
TILE_FN void prepare(Registers&... registers) {
    (pin(registers), ...);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
template <class T, int M, int N, int K, int W, class B>
TILE_FN void issue(Acc<M, N, W>& acc, const Reg<T, M, K, W>& a, const B& b) {
    static_assert(W % 4 == 0 && M == 16 * W, "whole warp groups, a block row each warp");
    static_assert(Shape<B>::ROWS == K && Shape<B>::COLS == N, "shapes differ");
    TILE_UNROLL
    for (int k = 0; k < K / 16; k++) WarpGroup<T, ALONG_ROWS<B>>::multiply(acc.d[0], a.d[0][k], slice(b, k));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <class T, int M, int N, int K, int W, class B>
TILE_FN void issue_halves(Acc<M, N, W>& left, Acc<M, N, W>& right, const Reg<T, M, K, W>& a, const B& b) {
    static_assert(W % 4 == 0 && M == 16 * W && N == 32, "whole warp groups, a block row each warp");
    static_assert(Shape<B>::ROWS == K && Shape<B>::COLS == 2 * N, "shapes differ");
    TILE_UNROLL
    for (int k = 0; k < K / 16; k++)
        WarpGroup<T, ALONG_ROWS<B>>::multiply(left.d[0], right.d[0], a.d[0][k], slice(b, k));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <class... Registers>
TILE_FN void settle_but_last(Registers&... registers) {
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
    (pin(registers), ...);
}
template <class... Registers>
TILE_FN void settle(Registers&... registers) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    (pin(registers), ...);
}
template <class C, class A, class B>
constexpr bool BY_WARP_GROUP = false;
template <class T, int M, int N, int K, int W, class B>
constexpr bool BY_WARP_GROUP<Acc<M, N, W>, Reg<T, M, K, W>, B> =
    sizeof(T) == 2 && W % 4 == 0 && M == 16 * W && K >= 64 && K <= 128 && (N == 64 || N == 128) && GROUP_OPERAND<B>;
template <class T, int M, int K, int W>
TILE_FN Reg<T, M, K, W> operand(const Acc<M, K, W>& acc) {
    Reg<T, M, K, W> left;
    left.round(acc);
    return left;
}
#else
template <class C, class A, class B>
constexpr bool BY_WARP_GROUP = false;
template <class... Registers>
TILE_FN void prepare(Registers&...) {}
template <int M, int N, int W, class A, class B>
TILE_FN void issue(Acc<M, N, W>& acc, const A& a, const B& b) {
    mma(acc, a, b);
}
template <int M, int N, int W, class A, class S>
TILE_FN void issue_halves(Acc<M, N, W>& left, Acc<M, N, W>& right, const A& a, const Transposed<S>& b) {
    const auto &first = rows<N>(b.tile, 0), &second = rows<N>(b.tile, 1);
    mma(left, a, t(first));
    mma(right, a, t(second));
}
template <class... Registers>
TILE_FN void settle_but_last(Registers&...) {}
template <class... Registers>
TILE_FN void settle(Registers&...) {}
template <class T, int M, int K, int W>
TILE_FN Rounded<T, M, K, W> operand(const Acc<M, K, W>& acc) {
    return {acc};
}
#endif
// the warp group's product has no masks
template <Mask MASK = FULL, class T, int M, int N, int K, int W, class B>
TILE_FN void product(Acc<M, N, W>& acc, Reg<T, M, K, W>& a, const B& b) {
    if constexpr (BY_WARP_GROUP<Acc<M, N, W>, Reg<T, M, K, W>, B>) {
        prepare(a, acc);
        issue(acc, a, b);
        settle(a, acc);
    } else {
        mma<MASK>(acc, a, b);
    }
}
template <int M, int N, int W, class S, class B>
TILE_FN void product(Acc<M, N, W>& acc, const Transposed<S>& a, const B& b) {
    using A = Reg<typename S::T, M, Shape<Transposed<S>>::COLS, W>;
    if constexpr (BY_WARP_GROUP<Acc<M, N, W>, A, B>) {
        A left;
        left.load(a);
        product(acc, left, b);
    } else {
        mma(acc, a, b);
    }
}
template <Mask MASK = FULL, class T, int M, int N, int K, int W, class B>
TILE_FN void product(Acc<M, N, W>& acc, const Rounded<T, M, K, W>& a, const B& b) {
    if constexpr (BY_WARP_GROUP<Acc<M, N, W>, Reg<T, M, K, W>, B>) {
        Reg<T, M, K, W> left;
        left.round(a.acc);
        product(acc, left, b);
    } else {
        mma<MASK>(acc, a, b);
    }
}

template <Mask MASK = FULL, int M, int N, int W, class A, class B>
TILE_FN void mma_both(Acc<M, N, W>& acc, Acc<M, N, W>& other, const A& a, const A& other_a, const B& b) {
    using C = Acc<M, N, W>;
    using T = typename Shape<A>::T;
    static_assert(Shape<A>::ROWS == M && Shape<B>::COLS == N && Shape<A>::COLS == Shape<B>::ROWS, "shapes differ");
    static_assert(MASK == FULL || MASK == LOWER_OUT, "masks of the result");
    if (!C::active()) return;
    const int r0 = C::first_row(), c0 = C::first_col();
    TILE_UNROLL
    for (int k = 0; k < Shape<A>::COLS / 16; k++) {
        Left<T> left[2][C::BLOCK_ROWS];
        TILE_UNROLL
        for (int m = 0; m < C::BLOCK_ROWS; m++) {
            get_left(left[0][m], a, r0, m, k);
            get_left(left[1][m], other_a, r0, m, k);
        }
        TILE_UNROLL
        for (int n = 0; n < C::BLOCK_COLS; n++) {
            if (MASK == LOWER_OUT && c0 + 16 * n >= r0 + 16 * C::BLOCK_ROWS) continue;
            Right<T> right;
            load_right(right, b, 16 * k, c0 + 16 * n);
            TILE_UNROLL
            for (int m = 0; m < C::BLOCK_ROWS; m++) {
                multiply(acc.d[m][n], left[0][m], right);
                multiply(other.d[m][n], left[1][m], right);
            }
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

template <class V, class F, int M, int N, int W, class... Others>
TILE_FN void zip_all(const V& view, F f, Acc<M, N, W>& acc, Others&... others) {
    using C = Acc<M, N, W>;
    static_assert(Shape<V>::ROWS == M && Shape<V>::COLS == N, "shapes differ");
    if (!C::active()) return;
    TILE_UNROLL
    for (int m = 0; m < C::BLOCK_ROWS; m++) {
        TILE_UNROLL
        for (int n = 0; n < C::BLOCK_COLS; n++) {
            const int r = C::first_row() + 16 * m, c = C::first_col() + 16 * n;
            Left<typename Shape<V>::T> block;
            float y[BLOCK_ELEMENTS];
            load_left(block, view, r, c);
            widen(y, block);
            TILE_UNROLL
            for (int e = 0; e < BLOCK_ELEMENTS; e++)
                f(y[e], r + block_row(e), c + block_col(e), acc.d[m][n][e], others.d[m][n][e]...);
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
        const int i = first + opaque(thread<W>());
        if (N % THREADS == 0 || i < N) f(i);
    }
}
template <class X, int N, int W>
struct Own {
    static constexpr int THREADS = W * TILE_LANES;
    static_assert(N % THREADS == 0, "every thread owns as many");
    X d[N / THREADS];

    template <class F>
    TILE_FN void for_each(F f) {
        TILE_UNROLL
        for (int n = 0; n < N / THREADS; n++) f(d[n], n * THREADS + opaque(thread<W>()));
    }
};
template <int W, class T, class U, int R, int N, class F>
TILE_FN void map(Tile<T, R, N>& dst, const Tile<U, R, N>& src, F f) {
    for_each_index<W, R * N / 4>([&](int i) {
        const int r = i / (N / 4), c = i % (N / 4) * 4;
        TILE_UNROLL
        for (int e = 0; e < 4; e++) dst.set(r, c + e, f(src.at(r, c + e), r, c + e));
    });
}
// f(four neighbours of x, of y, their row and first column)
template <int W, int R, int N, class F>
TILE_FN void for_each_four(const Tile<float, R, N>& x, const Tile<float, R, N>& y, F f) {
    for_each_index<W, R * N / 4>([&](int i) {
        const int r = i / (N / 4), p = i % (N / 4);
        f(*reinterpret_cast<const Float4*>(x.piece(r, p)), *reinterpret_cast<const Float4*>(y.piece(r, p)), r, 4 * p);
    });
}
template <int W, int R, int N>
TILE_FN float inner_product(const Tile<float, R, N>& x, const Tile<float, R, N>& y) {
    float share = 0;
    for_each_four<W>(x, y, [&](const Float4& a, const Float4& b, int, int) {
        TILE_UNROLL
        for (int e = 0; e < 4; e++) share = fused(a.x[e], b.x[e], share);
    });
    return share;
}
template <int W, class T, int R, int N>
TILE_FN float inner_product(const Tile<T, R, N>& x, const Tile<T, R, N>& y) {
    float share = 0;
    // in any order, as long as both lie in the same
    for_each_index<W, R * N / 8>([&](int i) {
        union Eight {
            Piece piece;
            T element[8];
        };
        const Eight a = {reinterpret_cast<const Piece*>(x.d)[i]}, b = {reinterpret_cast<const Piece*>(y.d)[i]};
        TILE_UNROLL
        for (int e = 0; e < 8; e++) share = fused(to_float(a.element[e]), to_float(b.element[e]), share);
    });
    return share;
}
template <int W, class T, int R, int N>
TILE_FN float round_both(Tile<T, R, N>& x, const Tile<float, R, N>& from_x, Tile<T, R, N>& y,
                         const Tile<float, R, N>& from_y) {
    float share = 0;
    for_each_four<W>(from_x, from_y, [&](const Float4& a, const Float4& b, int r, int c) {
        TILE_UNROLL
        for (int e = 0; e < 4; e++) share = fused(a.x[e], b.x[e], share);
        TILE_UNROLL
        for (int e = 0; e < 4; e += 2) {
            x.set_pair(r, c + e, a.x[e], a.x[e + 1]);
            y.set_pair(r, c + e, b.x[e], b.x[e + 1]);
        }
    });
    return share;
}
// seldom done: small code
template <int W, class T, int R, int N>
TILE_FN void fill(Tile<T, R, N>& tile, float x) {
    constexpr int WIDTH = 16 / sizeof(T), PIECES = N / WIDTH;
    union {
        Piece piece;
        T element[WIDTH];
    } y;
    TILE_UNROLL
    for (int e = 0; e < WIDTH; e++) y.element[e] = round_to<T>(x);
    TILE_ROLL
    for (int i = opaque(thread<W>()); i < R * PIECES; i += W * TILE_LANES) *tile.piece(i / PIECES, i % PIECES) = y.piece;
}

}  // namespace tile

#include "global.h"
#include "reductions.h"
#include "columns.h"
