// Neighbours of a row in registers, for kernels that move and sum and have no products. Nothing here is collective but
// group_sums and strided_sums.
#pragma once

namespace tile {

// V neighbours of T as they lie in memory. read<WIDE>(ptr, n): what lies from n on is zero and never addressed; WIDE
// promises that all are there, n being at least V, and that ptr is aligned to them. What is read must not be written by
// anybody while the kernel runs. read_async<WIDE>(ptr, n) is for those that lie in shared memory: complete after
// commit() and wait<N>(), and without a barrier for the very index that asked. write<WIDE>(ptr, n) likewise.
#if TILE_HOST
template <class T, int V>
struct Few {
    T x[V];
    TILE_FN float operator[](int e) const { return to_float(x[e]); }
    TILE_FN void set(const float (&y)[V]) {
        for (int e = 0; e < V; e++) x[e] = round_to<T>(y[e]);
    }
    template <bool WIDE>
    TILE_FN void read(const T* ptr, int n) {
        for (int e = 0; e < V; e++) x[e] = e < n ? ptr[e] : round_to<T>(0.f);
    }
    template <bool WIDE>
    TILE_FN void read_async(const T* ptr, int n) {
        read<WIDE>(ptr, n);
    }
    template <bool WIDE>
    TILE_FN void write(T* ptr, int n) const {
        for (int e = 0; e < V && e < n; e++) ptr[e] = x[e];
    }
};
#else
template <int WORDS>
struct alignas(4 * WORDS) Words {
    uint32_t word[WORDS];
};
template <class T, int V>
struct Few {
    static constexpr int WORDS = V * sizeof(T) / 4, EACH = 4 / sizeof(T);
    static_assert(WORDS == 1 || WORDS == 2 || WORDS == 4, "what one access moves");
    Words<WORDS> words;

    TILE_FN float operator[](int e) const {
        if constexpr (EACH == 1)
            return bits_to_float(words.word[e]);
        else
            return to_float(T{static_cast<uint16_t>(e & 1 ? words.word[e / 2] >> 16 : words.word[e / 2] & 0xffffu)});
    }
    TILE_FN void set(const float (&y)[V]) {
        TILE_UNROLL
        for (int w = 0; w < WORDS; w++) {
            if constexpr (EACH == 1)
                words.word[w] = float_to_bits(y[w]);
            else
                words.word[w] = round_two<T>(y[2 * w], y[2 * w + 1]);
        }
    }
    template <bool WIDE>
    TILE_FN void read(const T* ptr, int n) {
        if constexpr (WIDE) {
            read_words(words, ptr);
        } else {
            float x[V];
            TILE_UNROLL
            for (int e = 0; e < V; e++) x[e] = e < n ? to_float(ptr[e]) : 0.f;
            set(x);
        }
    }
    template <bool WIDE>
    TILE_FN void read_async(const T* ptr, int n) {
        if constexpr (WIDE)
            copy_async(&words, ptr);
        else
            read<false>(ptr, n);
    }
    template <bool WIDE>
    TILE_FN void write(T* ptr, int n) const {
        if constexpr (WIDE) {
            *reinterpret_cast<Words<WORDS>*>(ptr) = words;
        } else {
            TILE_UNROLL
            for (int e = 0; e < V; e++)
                if (e < n) ptr[e] = round_to<T>((*this)[e]);
        }
    }
};
#endif

// the same from and to f32 numbers, which may be more than one access
template <bool WIDE, int V, class T>
TILE_FN void read_floats(float (&x)[V], const T* ptr, int n) {
    constexpr int EACH = V * sizeof(T) <= 16 ? V : 16 / sizeof(T);
    TILE_UNROLL
    for (int i = 0; i < V; i += EACH) {
        Few<T, EACH> few;
        few.template read<WIDE>(ptr + i, n - i);
        TILE_UNROLL
        for (int e = 0; e < EACH; e++) x[i + e] = few[e];
    }
}
template <bool WIDE, int V, class T>
TILE_FN void write_floats(T* ptr, int n, const float (&x)[V]) {
    constexpr int EACH = V * sizeof(T) <= 16 ? V : 16 / sizeof(T);
    TILE_UNROLL
    for (int i = 0; i < V; i += EACH) {
        float part[EACH];
        TILE_UNROLL
        for (int e = 0; e < EACH; e++) part[e] = x[i + e];
        Few<T, EACH> few;
        few.set(part);
        few.template write<WIDE>(ptr + i, n - i);
    }
}

// whether rows of D elements can be read V at a time
TILE_FN bool wide_rows(int D, int V) { return D % V == 0; }

// 1 / (1 + e^-x), to f32 accuracy when T is float, else to well below T's rounding; 0 from where that is beyond f32
template <class T>
TILE_FN float sigmoid(float x) {
    // a reciprocal to f32 accuracy takes no infinity
    return reciprocal<T>(1 + exp<T>(sizeof(T) == 4 && x < -88.f ? 88.f : -x));
}
// sigmoid(x) and 1 - sigmoid(x), both with that accuracy however small they are
struct Sigmoids {
    float up, down;
};
template <class T>
TILE_FN Sigmoids sigmoids(float x) {
    const float e = exp<T>(x > 0 ? -x : x), large = reciprocal<T>(1 + e), small = e * large;
    return {x > 0 ? large : small, x > 0 ? small : large};
}

// own has one value for each thread. f(x) gives M floats of it; each becomes the sum of those of the G neighbours that
// x is one of, in a fixed order. G is a power of two.
#if TILE_HOST
template <int G, int M, class X, int N, int W, class F>
TILE_FN void group_sums(Own<X, N, W>& own, float (&)[M * W], F f) {
    for (int first = 0; first < N; first += G)
        for (int m = 0; m < M; m++) {
            float partial[G];
            for (int i = 0; i < G; i++) partial[i] = f(own.d[first + i])[m];
            for (int step = G / 2; step > 0; step /= 2)
                for (int i = 0; i < step; i++) partial[i] += partial[i + step];
            for (int i = 0; i < G; i++) f(own.d[first + i])[m] = partial[0];
        }
}
#else
template <int G, int M, class X, int N, int W, class F>
TILE_FN void group_sums(Own<X, N, W>& own, float (&scratch)[M * W], F f) {
    static_assert(N == W * TILE_LANES, "one value for each thread");
    float(&x)[M] = f(own.d[0]);
    TILE_UNROLL
    for (int step = (G < TILE_LANES ? G : TILE_LANES) / 2; step > 0; step /= 2) {
        TILE_UNROLL
        for (int m = 0; m < M; m++) x[m] += shuffle_xor(x[m], step);
    }
    if constexpr (G > TILE_LANES) {
        constexpr int WARPS = G / TILE_LANES;
        barrier();
        if (lane() == 0) {
            TILE_UNROLL
            for (int m = 0; m < M; m++) scratch[m * W + warp<W>()] = x[m];
        }
        barrier();
        const int first = warp<W>() / WARPS * WARPS;
        TILE_UNROLL
        for (int m = 0; m < M; m++) {
            x[m] = scratch[m * W + first];
            TILE_UNROLL
            for (int w = 1; w < WARPS; w++) x[m] += scratch[m * W + first + w];
        }
    }
}
#endif

// Likewise of those of all values whose index is the same modulo G, a power of two and less than a warp's width.
#if TILE_HOST
template <int G, int M, class X, int N, int W, class F>
TILE_FN void strided_sums(Own<X, N, W>& own, float (&)[M * W * G], F f) {
    for (int i = 0; i < G; i++)
        for (int m = 0; m < M; m++) {
            float sum = f(own.d[i])[m];
            for (int j = i + G; j < N; j += G) sum += f(own.d[j])[m];
            for (int j = i; j < N; j += G) f(own.d[j])[m] = sum;
        }
}
#else
template <int G, int M, class X, int N, int W, class F>
TILE_FN void strided_sums(Own<X, N, W>& own, float (&scratch)[M * W * G], F f) {
    static_assert(N == W * TILE_LANES && G < TILE_LANES, "one value for each thread, several in a warp");
    float(&x)[M] = f(own.d[0]);
    TILE_UNROLL
    for (int step = TILE_LANES / 2; step >= G; step /= 2) {
        TILE_UNROLL
        for (int m = 0; m < M; m++) x[m] += shuffle_xor(x[m], step);
    }
    barrier();
    if (lane() < G) {
        TILE_UNROLL
        for (int m = 0; m < M; m++) scratch[(m * W + warp<W>()) * G + lane()] = x[m];
    }
    barrier();
    TILE_UNROLL
    for (int m = 0; m < M; m++) {
        x[m] = scratch[m * W * G + lane() % G];
        TILE_UNROLL
        for (int w = 1; w < W; w++) x[m] += scratch[(m * W + w) * G + lane() % G];
    }
}
#endif

// The sum of one column of a matrix of `rows` rows, for COLUMNS neighbouring columns: out(i, sum) for i = 0..COLUMNS-1.
// In f64, so that it does not depend on the order. It begins and ends with a barrier.
template <int W, int COLUMNS, int N, class F>
TILE_FN void matrix_column_sums(double (&scratch)[N], const float* ptr, int64_t ld, int64_t rows, int columns, F out) {
    constexpr int PARTS = N / COLUMNS;
    barrier();
    for_each_index<W, N>([&](int i) {
        const int c = i % COLUMNS;
        double s[4] = {};  // several at a time, for the sake of their latency
        if (c < columns)
            for (int64_t r = i / COLUMNS; r < rows; r += 4 * PARTS) {
                TILE_UNROLL
                for (int u = 0; u < 4; u++) s[u] += r + u * PARTS < rows ? ptr[(r + u * PARTS) * ld + c] : 0.f;
            }
        scratch[i] = (s[0] + s[1]) + (s[2] + s[3]);
    });
    barrier();
    for_each_index<W, COLUMNS>([&](int c) {
        double s = scratch[c];
        TILE_UNROLL
        for (int p = 1; p < PARTS; p++) s += scratch[p * COLUMNS + c];
        if (c < columns) out(c, static_cast<float>(s));
    });
    barrier();
}

}  // namespace tile
