// Global memory to and from tiles, vectors and accumulators, on top of device.h.
#pragma once

namespace tile {

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

// whether every thread gets pieces of one column, a whole number of them
template <int R, int PIECES, int THREADS>
constexpr bool COLUMN_EACH = THREADS >= R * PIECES || (THREADS % PIECES == 0 && R * PIECES % THREADS == 0);
// row strides with which offsets within a tile fit 32 bits
constexpr int64_t NARROW = 1 << 22;

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
    if (aligned && rows >= R && cols >= N && ld < NARROW && COLUMN_EACH<R, PIECES, THREADS>) {
        constexpr int STEP = THREADS < R * PIECES ? (THREADS + PIECES - 1) / PIECES : R;
        const int i = opaque(thread<W>()), r0 = i / PIECES, p = i % PIECES;
        if (THREADS > R * PIECES && i >= R * PIECES) return;
        const U* src = ptr + (r0 * static_cast<int>(ld) + p * WIDTH);
        TILE_UNROLL
        for (int r = 0; r < R; r += STEP, src += STEP * ld) {
            if constexpr (ASYNC)
                copy_async(tile.piece(r0 + r, p), src);
            else
                *tile.piece(r0 + r, p) = gather_wide<T>(src);
        }
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
    if (aligned && rows >= R && cols >= N && ld < NARROW && COLUMN_EACH<R, PIECES, THREADS>) {
        constexpr int STEP = THREADS < R * PIECES ? (THREADS + PIECES - 1) / PIECES : R;
        const int i = opaque(thread<W>()), r0 = i / PIECES, p = i % PIECES;
        if (THREADS > R * PIECES && i >= R * PIECES) return;
        T* to = ptr + (r0 * static_cast<int>(ld) + p * WIDTH);
        TILE_UNROLL
        for (int r = 0; r < R; r += STEP, to += STEP * ld) *reinterpret_cast<Piece*>(to) = *tile.piece(r0 + r, p);
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
TILE_FN void store_global(T* ptr, int64_t ld, Transposed<Tile<T, R, N>> view, const Acc<N, R, W>& acc, int rows,
                          int cols) {
    using C = Acc<N, R, W>;
    static_assert(C::WARP_COLS == 1 && C::WARP_ROWS == W, "a warp owns whole rows");
    constexpr int WIDTH = 16 / sizeof(T), EACH = N / W / WIDTH;
    store(view, acc);
    warp_barrier();
    const bool aligned = wide(ptr, ld);
    const int first = warp<W>() * EACH;
    if (aligned && rows >= R && cols >= N && ld < NARROW && R * EACH % TILE_LANES == 0 && TILE_LANES % EACH == 0) {
        constexpr int STEP = TILE_LANES / EACH;
        const int r0 = lane() / EACH, p = first + lane() % EACH;
        T* to = ptr + (r0 * static_cast<int>(ld) + p * WIDTH);
        TILE_UNROLL
        for (int r = 0; r < R; r += STEP, to += STEP * ld) *reinterpret_cast<Piece*>(to) = *view.tile.piece(r0 + r, p);
        return;
    }
    TILE_ROLL
    for (int i = opaque(lane()); i < R * EACH; i += TILE_LANES) {
        const int r = i / EACH, p = first + i % EACH, n = r < rows ? cols - p * WIDTH : 0;
        TILE_ROLL
        for (int e = 0; e < WIDTH && e < n; e++)
            ptr[r * ld + p * WIDTH + e] = view.tile.d[view.tile.index(r, p * WIDTH) + e];
    }
}
// PACED: a lane's pieces one after the other, where loads would wait behind a burst of stores
template <bool PACED = false, class T, int R, int N, int W>
TILE_FN void store_global(T* ptr, int64_t ld, Tile<T, R, N>& tile, const Acc<R, N, W>& acc, int rows, int cols) {
    using C = Acc<R, N, W>;
    static_assert(C::WARP_COLS == 1 && C::WARP_ROWS == W, "a warp owns whole rows");
    constexpr int WIDTH = 16 / sizeof(T), PIECES = N / WIDTH, EACH = R / W;
    constexpr int STEP = TILE_LANES < PIECES ? 1 : TILE_LANES / PIECES, COUNT = EACH / STEP;
    constexpr int BATCH = PACED || COUNT % 4 != 0 ? 1 : 4;
    warp_barrier();
    store(tile, acc);
    warp_barrier();
    const bool aligned = wide(ptr, ld);
    const int first = warp<W>() * EACH;
    if constexpr (TILE_LANES % PIECES == 0 && EACH % 16 == 0 && EACH % STEP == 0)
        if (aligned && rows >= R && cols >= N && ld < NARROW) {
            const int r0 = lane() / PIECES, p = lane() % PIECES, own = tile.index(first + r0, p * WIDTH);
            T* to = ptr + ((first + r0) * static_cast<int>(ld) + p * WIDTH);
            // all are read before any is written, so that they do not wait for one another
            auto batch = [&](int from) {
                Piece x[BATCH];
                TILE_UNROLL
                for (int i = 0; i < BATCH; i++) x[i] = *tile.piece_below(own, (from + i) * STEP);
                TILE_UNROLL
                for (int i = 0; i < BATCH; i++, to += STEP * ld) *reinterpret_cast<Piece*>(to) = x[i];
            };
            if constexpr (PACED) {
                TILE_ROLL
                for (int from = 0; from < COUNT; from += BATCH) batch(from);
            } else {
                TILE_UNROLL
                for (int from = 0; from < COUNT; from += BATCH) batch(from);
            }
            return;
        }
    TILE_ROLL
    for (int i = opaque(lane()); i < EACH * PIECES; i += TILE_LANES) {
        const int r = first + i / PIECES, p = i % PIECES, n = r < rows ? cols - p * WIDTH : 0;
        T* to = ptr + r * ld + p * WIDTH;
        if (aligned && n >= WIDTH) {
            *reinterpret_cast<Piece*>(to) = *tile.piece(r, p);
        } else {
            TILE_ROLL
            for (int e = 0; e < WIDTH && e < n; e++) to[e] = tile.d[tile.index(r, p * WIDTH) + e];
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
// f32 rows that are there in full, by pairs of neighbours
template <int M, int N, int W>
TILE_FN void store_rows(float* ptr, int64_t row_stride, const Acc<M, N, W>& acc) {
    const_cast<Acc<M, N, W>&>(acc).for_each_block([&](float(&x)[BLOCK_ELEMENTS], int r0, int c0) {
        float* dst = ptr + (r0 + block_row(0)) * row_stride + c0 + block_col(0);
        TILE_UNROLL
        for (int e = 0; e < BLOCK_ELEMENTS; e += 2)
            *reinterpret_cast<Pair<float>*>(dst + row_step(e) * row_stride + col_step(e)) = {x[e], x[e + 1]};
    });
}
template <class U, int M, int N, int W>
TILE_FN void store_global(U* ptr, int64_t row_stride, int64_t col_stride, const Acc<M, N, W>& acc, int rows, int cols) {
    if constexpr (sizeof(U) == 4)
        if (col_stride == 1 && rows >= M && cols >= N && wide(ptr, row_stride)) return store_rows(ptr, row_stride, acc);
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

}  // namespace tile
