// What the CUDA and HIP back ends share: how tiles lie in shared memory and how work is dealt to warps and lanes.
// The including back end gives TILE_LANES, exp2, bits_to_float, float_to_bits, fused, the lane's element positions in a
// 16 x 16 block (block_row, block_col, and which of them share a row or a column), the operands Left<T> and Right<T> of a
// 16 x 16 x 16 product, and their loads.
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

// Tiles of 16-bit elements are cut into panels of 64 columns, and rows into 16-byte pieces whose place within the row is
// scrambled by the row number, so that eight rows of one column lie in different banks; it is also how Hopper's products
// over warp groups want their operands. The alignment lets a column offset be applied to a whole address by exclusive or.
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

}  // namespace tile

#if defined(TILE_CUDA)
#include "warp_group.h"
#endif

namespace tile {

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
TILE_FN void settle(Registers&... registers) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    (pin(registers), ...);
}
template <class C, class A, class B>
constexpr bool BY_WARP_GROUP = false;
template <class T, int M, int N, int K, int W, class B>
constexpr bool BY_WARP_GROUP<Acc<M, N, W>, Reg<T, M, K, W>, B> =
    sizeof(T) == 2 && W % 4 == 0 && M == 16 * W && K <= 128 && (N == 32 || N == 64 || N == 128);
#else
template <class C, class A, class B>
constexpr bool BY_WARP_GROUP = false;
template <class... Registers>
TILE_FN void prepare(Registers&...) {}
template <class T, int M, int N, int K, int W, class B>
TILE_FN void issue(Acc<M, N, W>& acc, const Reg<T, M, K, W>& a, const B& b) {
    mma(acc, a, b);
}
template <class T, int M, int N, int K, int W, class S>
TILE_FN void issue_halves(Acc<M, N, W>& left, Acc<M, N, W>& right, const Reg<T, M, K, W>& a, const Transposed<S>& b) {
    const auto &first = rows<N>(b.tile, 0), &second = rows<N>(b.tile, 1);
    mma(left, a, t(first));
    mma(right, a, t(second));
}
template <class... Registers>
TILE_FN void settle(Registers&...) {}
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

template <int W, bool ASYNC, class S, class U>
TILE_FN void load_pieces(S& tile, const U* ptr, int64_t ld, int rows, int cols) {
    using T = typename S::T;
    constexpr int R = Shape<S>::ROWS, N = Shape<S>::COLS;
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
    for (int i = opaque(thread<W>()); i < R * PIECES; i += THREADS) {
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
// two matrices at once, and this thread's share of their inner product in f32
template <int W, class T, int R, int N>
TILE_FN float load_product(Tile<T, R, N>& x, const float* px, Tile<T, R, N>& y, const float* py, int64_t ld, int rows,
                           int cols) {
    constexpr int PIECES = N / 4;
    const bool aligned = wide(px, ld) && wide(py, ld);
    constexpr int EACH = R * PIECES / (W * TILE_LANES), BATCH = EACH % 2 == 0 ? 2 : 1;
    static_assert(EACH * W * TILE_LANES == R * PIECES, "every thread loads as many");
    float share = 0;
    auto load_piece = [&](int i) {
        const int r = i / PIECES, c = i % PIECES * 4, n = r < rows ? cols - c : 0;
        Float4 a = {}, b = {};
        if (aligned && n >= 4) {
            a = *reinterpret_cast<const Float4*>(px + r * ld + c);
            b = *reinterpret_cast<const Float4*>(py + r * ld + c);
        } else {
            TILE_UNROLL
            for (int e = 0; e < 4; e++) {
                a.x[e] = e < n ? px[r * ld + c + e] : 0.f;
                b.x[e] = e < n ? py[r * ld + c + e] : 0.f;
            }
        }
        TILE_UNROLL
        for (int e = 0; e < 4; e++) share = fused(a.x[e], b.x[e], share);
        TILE_UNROLL
        for (int e = 0; e < 4; e += 2) {
            x.set_pair(r, c + e, a.x[e], a.x[e + 1]);
            y.set_pair(r, c + e, b.x[e], b.x[e + 1]);
        }
    };
    TILE_ROLL
    for (int i = opaque(thread<W>()); i < R * PIECES; i += BATCH * W * TILE_LANES) {
        TILE_UNROLL
        for (int u = 0; u < BATCH; u++) load_piece(i + u * W * TILE_LANES);
    }
    return share;
}
template <int W, class T, int R, int N>
TILE_FN void load_async(Tile<T, R, N>& tile, const T* ptr, int64_t ld, int rows, int cols) {
    load_pieces<W, true>(tile, ptr, ld, rows, cols);
}
template <int W, class S, int R2>
TILE_FN void load_async(Band<S, R2> band, const typename S::T* ptr, int64_t ld, int rows, int cols) {
    load_pieces<W, true>(band, ptr, ld, rows, cols);
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
    for (int i = opaque(thread<W>()); i < R * PIECES; i += THREADS) {
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
template <class T, int R, int N, int W>
TILE_FN void store_global(T* ptr, int64_t ld, Transposed<Tile<T, R, N>> view, const Acc<N, R, W>& acc, int rows, int cols) {
    using C = Acc<N, R, W>;
    static_assert(C::WARP_COLS == 1 && C::WARP_ROWS == W, "a warp owns whole rows");
    constexpr int WIDTH = 16 / sizeof(T), EACH = N / W / WIDTH;
    store(view, acc);
    warp_barrier();
    const bool aligned = wide(ptr, ld), whole = aligned && rows >= R && cols >= N;
    const int first = warp<W>() * EACH, own = opaque(lane());
    TILE_UNROLL
    for (int i = 0; i < R * EACH; i += TILE_LANES) {
        const int r = (i + own) / EACH, p = first + (i + own) % EACH, n = r < rows ? cols - p * WIDTH : 0;
        if (R * EACH % TILE_LANES != 0 && i + own >= R * EACH) break;
        T* to = ptr + r * ld + p * WIDTH;
        if (whole || (aligned && n >= WIDTH)) {
            *reinterpret_cast<Piece*>(to) = *view.tile.piece(r, p);
        } else {
            TILE_ROLL
            for (int e = 0; e < WIDTH && e < n; e++) to[e] = view.tile.d[view.tile.index(r, p * WIDTH) + e];
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
                    if (block_col(e) == 0) scratch[warp<W>() % C::WARP_COLS * M + r + block_row(e)] = total;
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
                    if (block_row(e) == 0) scratch[warp<W>() / C::WARP_COLS * N + c + block_col(e)] = total;
                }
        }
    }
    add_partial_sums<W, C::WARP_ROWS>(out, scratch);
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

// Block column w of the inverse by warp w, transposed, so that blocks already found are left operands:
// X_iw = -X_ii sum_k a_ik X_kw, w <= k < i.
template <int W, class T, int C, class F>
TILE_FN void invert_unit_lower(Tile<T, C, C>& out, Tile<float, C, C>& a, F f) {
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
