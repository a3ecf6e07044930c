// Host back end: a tile is a plain array of f32 values already rounded to the storage type, a collective operation is a
// loop over all of it, and products go through one function chosen for the machine's instruction set (host_gemm.cpp).
#pragma once
#include <string.h>

#define TILE_HOST 1
#define TILE_FN inline
#define TILE_UNROLL
#define TILE_ROLL
#define TILE_LANES 32
#define TILE_ASYNC 1
#define TILE_ISSUES 0
#define TILE_SHARED_LIMIT (160 * 1024)
#define TILE_SHARED_MOST (1 << 20)

// c[m][n] += sum_k a[m * a_row + k * a_col] * b[k * b_row + n * b_col]; m and n multiples of 16, c has ldc floats a row
extern "C" {
typedef void (*tile_gemm_fn)(int m, int n, int k, const float* a, long a_row, long a_col, const float* b, long b_row,
                             long b_col, float* c, long ldc);
tile_gemm_fn tile_gemm(void);
}

namespace tile {

inline int& block_index() {
    static thread_local int index = 0;
    return index;
}
TILE_FN int block_id() { return block_index(); }
TILE_FN void barrier() {}
TILE_FN void publish() {}
TILE_FN void commit() {}
template <int N>
TILE_FN void wait() {}

TILE_FN uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
TILE_FN float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

template <class T>
T round_to(float x);
template <>
inline float round_to<float>(float x) {
    return x;
}
template <>
inline bf16 round_to<bf16>(float x) {
    const uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return bf16{(uint16_t)((u >> 16) | 0x40)};
    return bf16{(uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
}
template <>
inline f16 round_to<f16>(float x) {
    const uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return f16{(uint16_t)(sign | 0x7e00u)};
    if (magnitude >= 0x477ff000u) return f16{(uint16_t)(sign | 0x7c00u)};  // rounds to 2^16 or more
    if (magnitude < 0x38800000u) {                                         // subnormal: adding 0.5 leaves multiples of 2^-24
        const float shifted = float_of(magnitude) + 0.5f;
        return f16{(uint16_t)(sign | (bits_of(shifted) - 0x3f000000u))};
    }
    return f16{(uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1)) >> 13))};
}
TILE_FN float to_float(float x) { return x; }
TILE_FN float to_float(bf16 x) { return float_of((uint32_t)x.bits << 16); }
TILE_FN float to_float(f16 x) {
    const uint32_t sign = (uint32_t)(x.bits & 0x8000u) << 16, magnitude = x.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x400u) return float_of(sign | bits_of((float)magnitude * 0x1p-24f));
    return float_of(sign | ((magnitude << 13) + 0x38000000u));
}
template <class T>
TILE_FN float through(float x) {
    return to_float(round_to<T>(x));
}

TILE_FN float fused(float x, float y, float z) { return x * y + z; }
TILE_FN float bits_to_float(uint32_t x) { return float_of(x); }
TILE_FN uint32_t float_to_bits(float x) { return bits_of(x); }

// e^x by a polynomial on |r| <= ln2/2, so that loops vectorise; below 2^-125 it is zero
template <class T>
TILE_FN float exp(float x) {
    const float shifted = x * 1.44269504f + 12582912.f, n = shifted - 12582912.f;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    const float p =
        1 + r * (1 + r * (.5f + r * (1.f / 6 + r * (1.f / 24 + r * (1.f / 120 + r * (1.f / 720 + r * (1.f / 5040)))))));
    const float half = float_of((bits_of(shifted) - 0x4b400000u + 126u) << 23);
    const float y = p * half * 2;
    return x < -86.f ? 0.f : x > 88.72f ? float_of(0x7f800000u) : y;
}

TILE_FN float exp2(float x) { return exp<float>(x * 0.693147181f); }

template <class T>
TILE_FN float reciprocal(float x) {
    return 1 / x;
}
TILE_FN float square_root(float x) { return __builtin_sqrtf(x); }
template <class T>
TILE_FN float inverse_root(float x) {
    return 1 / square_root(x);
}

template <class T_, int R, int N>
struct alignas(64) Tile {
    static_assert(R % 16 == 0 && N % 16 == 0, "tiles are made of 16 x 16 blocks");
    using T = T_;
    static constexpr int ROWS = R, COLS = N;
    float d[R][N];
    float at(int r, int c) const { return d[r][c]; }
    void set(int r, int c, float x) { d[r][c] = through<T>(x); }
    void get_pair(float& x, float& y, int r, int c) const { x = at(r, c), y = at(r, c + 1); }
    void set_pair(int r, int c, float x, float y) { set(r, c, x), set(r, c + 1, y); }
};
template <class S>
TILE_FN Transposed<S> t(S& tile) {
    return {tile};
}
template <int R2, class T, int R, int N>
TILE_FN Tile<T, R2, N>& rows(Tile<T, R, N>& tile, int i) {
    return *reinterpret_cast<Tile<T, R2, N>*>(&tile.d[i * R2][0]);
}

template <int M, int N, int W>
struct alignas(64) Acc {
    float d[M][N];
    template <class F>
    TILE_FN void for_each(F f) {
        for (int r = 0; r < M; r++)
            for (int c = 0; c < N; c++) f(d[r][c], r, c);
    }
    template <class F>
    TILE_FN void for_each_pair(F f) {
        for (int r = 0; r < M; r++)
            for (int c = 0; c < N; c += 2) f(d[r][c], d[r][c + 1], r, c);
    }
    void fill(float x) {
        for_each([x](float& y, int, int) { y = x; });
    }
};

template <class T_, int M, int K, int W>
struct alignas(64) Reg {
    static_assert(M >= 16 * W, "a warp owns whole rows");
    using T = T_;
    float d[M][K];
    template <class V>
    void load(const V& view, int column = 0);
    void round(const Acc<M, K, W>& acc) {
        for (int r = 0; r < M; r++)
            for (int c = 0; c < K; c++) d[r][c] = through<T>(acc.d[r][c]);
    }
    template <class F>
    TILE_FN void for_each(F f) {
        for (int r = 0; r < M; r++)
            for (int c = 0; c < K; c++) {
                f(d[r][c], r, c);
                d[r][c] = through<T>(d[r][c]);
            }
    }
};
template <class T, int M, int K, int W>
TILE_FN Reg<T, M, K, W> rounded(const Acc<M, K, W>& acc) {
    Reg<T, M, K, W> out;
    out.round(acc);
    return out;
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

// an operand as the product sees it
struct Strided {
    const float* p;
    long row, col;
    TILE_FN float at(int r, int c) const { return p[r * row + c * col]; }
};
template <class T, int R, int N>
TILE_FN Strided strided(const Tile<T, R, N>& x) {
    return {&x.d[0][0], N, 1};
}
template <class S>
TILE_FN Strided strided(const Transposed<S>& x) {
    return {&x.tile.d[0][0], 1, Shape<S>::COLS};
}
template <class T, int M, int K, int W>
TILE_FN Strided strided(const Reg<T, M, K, W>& x) {
    return {&x.d[0][0], K, 1};
}

template <class T, int M, int K, int W>
template <class V>
void Reg<T, M, K, W>::load(const V& view, int column) {
    static_assert(Shape<V>::ROWS == M && Shape<V>::COLS >= K, "shapes differ");
    const Strided s = strided(view);
    for (int r = 0; r < M; r++)
        for (int c = 0; c < K; c++) d[r][c] = s.at(r, column + c);
}

template <Mask MASK = FULL, int M, int N, int W, class A, class B>
TILE_FN void mma(Acc<M, N, W>& acc, const A& a, const B& b) {
    static_assert(Shape<A>::ROWS == M && Shape<B>::COLS == N && Shape<A>::COLS == Shape<B>::ROWS, "shapes differ");
    static_assert(sizeof(typename Shape<A>::T) == sizeof(typename Shape<B>::T), "operands of different types");
    const Strided x = strided(a), y = strided(b);
    tile_gemm()(M, N, Shape<A>::COLS, x.p, x.row, x.col, y.p, y.row, y.col, &acc.d[0][0], N);
}

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
TILE_FN void settle_but_last(Registers&...) {}
template <class... Registers>
TILE_FN void settle(Registers&...) {}
template <class T, int M, int K, int W>
TILE_FN Reg<T, M, K, W> operand(const Acc<M, K, W>& acc) {
    return rounded<T>(acc);
}
template <Mask MASK = FULL, int M, int N, int W, class A, class B>
TILE_FN void product(Acc<M, N, W>& acc, const A& a, const B& b) {
    mma<MASK>(acc, a, b);
}
template <Mask MASK = FULL, int M, int N, int W, class A, class B>
TILE_FN void mma_both(Acc<M, N, W>& acc, Acc<M, N, W>& other, const A& a, const A& other_a, const B& b) {
    mma<MASK>(acc, a, b);
    mma<MASK>(other, other_a, b);
}

template <int M, int N, int W, class V, class F>
TILE_FN void zip(Acc<M, N, W>& acc, const V& view, F f) {
    static_assert(Shape<V>::ROWS == M && Shape<V>::COLS == N, "shapes differ");
    const Strided s = strided(view);
    acc.for_each([&](float& x, int r, int c) { f(x, s.at(r, c), r, c); });
}
template <int M, int N, int W, class F>
TILE_FN void zip(Acc<M, N, W>& acc, const Acc<M, N, W>& other, F f) {
    acc.for_each([&](float& x, int r, int c) { f(x, other.d[r][c], r, c); });
}

template <class V, class F, int M, int N, int W, class... Others>
TILE_FN void zip_all(const V& view, F f, Acc<M, N, W>& acc, Others&... others) {
    static_assert(Shape<V>::ROWS == M && Shape<V>::COLS == N, "shapes differ");
    const Strided s = strided(view);
    acc.for_each([&](float& x, int r, int c) { f(s.at(r, c), r, c, x, others.d[r][c]...); });
}

template <class T, int M, int N, int W>
void store(Tile<T, M, N>& tile, const Acc<M, N, W>& acc) {
    for (int r = 0; r < M; r++)
        for (int c = 0; c < N; c++) tile.d[r][c] = through<T>(acc.d[r][c]);
}
template <class T, int M, int N, int W>
void store(Transposed<Tile<T, N, M>> view, const Acc<M, N, W>& acc) {
    for (int c = 0; c < N; c++)
        for (int r = 0; r < M; r++) view.tile.d[c][r] = through<T>(acc.d[r][c]);
}
template <int W, class T, class U, int R, int N, class F>
TILE_FN void map(Tile<T, R, N>& dst, const Tile<U, R, N>& src, F f) {
    for (int r = 0; r < R; r++)
        for (int c = 0; c < N; c++) dst.d[r][c] = through<T>(f(src.d[r][c], r, c));
}
template <int W, class T, int R, int N>
void fill(Tile<T, R, N>& tile, float x) {
    map<W>(tile, tile, [x](float, int, int) { return x; });
}

template <int W, class T, int R, int N>
float inner_product(const Tile<T, R, N>& x, const Tile<T, R, N>& y) {
    constexpr int LANES = 32;  // several partial sums, as on a device: less rounding than one long chain
    float partial[LANES] = {};
    for (int r = 0; r < R; r++)
        for (int c = 0; c < N; c++) partial[c % LANES] += x.d[r][c] * y.d[r][c];
    for (int step = LANES / 2; step > 0; step /= 2)
        for (int i = 0; i < step; i++) partial[i] += partial[i + step];
    return partial[0];
}
template <int W, class T, int R, int N>
float round_both(Tile<T, R, N>& x, const Tile<float, R, N>& from_x, Tile<T, R, N>& y, const Tile<float, R, N>& from_y) {
    map<W>(x, from_x, [](float z, int, int) { return z; });
    map<W>(y, from_y, [](float z, int, int) { return z; });
    return inner_product<W>(from_x, from_y);
}
template <int W, class T, int R, int N, class U>
void load(Tile<T, R, N>& tile, const U* ptr, int64_t ld, int rows, int cols) {
    for (int r = 0; r < R; r++)
        for (int c = 0; c < N; c++) tile.d[r][c] = r < rows && c < cols ? through<T>(to_float(ptr[r * ld + c])) : 0.f;
}
template <int W, class T, int R, int N>
TILE_FN void load_async(Tile<T, R, N>& tile, const T* ptr, int64_t ld, int rows, int cols) {
    load<W>(tile, ptr, ld, rows, cols);
}
template <int W, int N, class U>
void load(float (&x)[N], const U* ptr, int64_t stride, int n) {
    for (int i = 0; i < N; i++) x[i] = i < n ? to_float(ptr[i * stride]) : 0.f;
}
template <int W, int N>
TILE_FN void load_async(float (&x)[N], const float* ptr, int64_t stride, int n) {
    load<W>(x, ptr, stride, n);
}
template <int W, class T, int R, int N>
void store_global(T* ptr, int64_t ld, const Tile<T, R, N>& tile, int rows, int cols) {
    for (int r = 0; r < R && r < rows; r++)
        for (int c = 0; c < N && c < cols; c++) ptr[r * ld + c] = round_to<T>(tile.d[r][c]);
}
template <class T, int R, int N, int W>
void store_global(T* ptr, int64_t ld, Transposed<Tile<T, R, N>> view, const Acc<N, R, W>& acc, int rows, int cols) {
    store(view, acc);
    store_global<W>(ptr, ld, view.tile, rows, cols);
}
template <bool PACED = false, class T, int R, int N, int W>
void store_global(T* ptr, int64_t ld, Tile<T, R, N>& tile, const Acc<R, N, W>& acc, int rows, int cols) {
    store(tile, acc);
    store_global<W>(ptr, ld, tile, rows, cols);
}
template <class U, int M, int N, int W>
void load(Acc<M, N, W>& acc, const U* ptr, int64_t row_stride, int64_t col_stride, int rows, int cols) {
    acc.for_each([&](float& x, int r, int c) {
        x = r < rows && c < cols ? to_float(ptr[r * row_stride + c * col_stride]) : 0.f;
    });
}
template <class U, int M, int N, int W>
void store_global(U* ptr, int64_t row_stride, int64_t col_stride, const Acc<M, N, W>& acc, int rows, int cols) {
    for (int r = 0; r < M && r < rows; r++)
        for (int c = 0; c < N && c < cols; c++) ptr[r * row_stride + c * col_stride] = round_to<U>(acc.d[r][c]);
}

template <int W, int N, class F>
TILE_FN void for_each_index(F f) {
    for (int i = 0; i < N; i++) f(i);
}

template <class X, int N, int W>
struct Own {
    X d[N];
    template <class F>
    TILE_FN void for_each(F f) {
        for (int i = 0; i < N; i++) f(d[i], i);
    }
};

template <int W, class F>
TILE_FN void for_each_rolled(int n, F f) {
    for (int i = 0; i < n; i++) f(i);
}

template <int R, int N, int W>
struct alignas(64) Columns {
    static constexpr int SCRATCH = N;
    float d[R][N];
    template <class F>
    TILE_FN void for_each(F f) {
        for (int r = 0; r < R; r++)
            for (int c = 0; c < N; c += 2) f(d[r][c], d[r][c + 1], r, c);
    }
};
template <class F, int R, int N, int W, class... Others>
void together(F f, Columns<R, N, W>& x, Others&... others) {
    const auto pair = [](auto& y, int r, int c) -> float(&)[2] { return *reinterpret_cast<float(*)[2]>(&y.d[r][c]); };
    for (int r = 0; r < R; r++)
        for (int c = 0; c < N; c += 2) f(r, c, pair(x, r, c), pair(others, r, c)...);
}
template <int W, bool BACK = false, int R, int N>
void running_sums(Columns<R, N, W>& x, float (&total)[N], float (&)[N]) {
    for (int i = 1; i < R; i++)
        for (int c = 0; c < N; c++) x.d[BACK ? R - 1 - i : i][c] += x.d[BACK ? R - i : i - 1][c];
    for (int c = 0; c < N; c++) total[c] = x.d[BACK ? 0 : R - 1][c];
}
template <int W, int R, int N>
void sums_above(Columns<R, N, W>& x, float (&)[N]) {
    for (int c = 0; c < N; c++) {
        float sum = 0;
        for (int r = 0; r < R; r++) {
            const float own = x.d[r][c];
            x.d[r][c] = sum;
            sum += own;
        }
    }
}
template <int W, class T, int R, int N, class F>
void products_down(const Tile<T, R, N>& a, const Tile<T, R, N>& b, float (&out)[N], F weight) {
    for (int c = 0; c < N; c++) {
        float sum = 0;
        for (int r = 0; r < R; r++) sum += a.d[r][c] * b.d[r][c];
        out[c] = weight(c) * sum;
    }
}
template <int N>
TILE_FN float lowest(const float (&x)[N]) {
    float low = x[0];
    for (float y : x) low = y < low ? y : low;
    return low;
}

template <int N>
struct Prefix {
    float high[N], low[N];
    TILE_FN float operator[](int i) const { return high[i] + low[i]; }
    TILE_FN float between(int i, int j) const { return (high[i] - high[j]) + (low[i] - low[j]); }
    template <class T>
    TILE_FN float decay(int i, int j) const {
        return i >= j ? exp<T>(between(i, j)) : 0.f;
    }
};
template <int W, int N>
TILE_FN void sums_from(float (&x)[N], int) {
    for (int i = N - 2; i >= 0; i--) x[i] += x[i + 1];
}
template <int W, int N>
TILE_FN void sums_before(float (&x)[N], int) {
    float sum = 0;
    for (int i = 0; i < N; i++) {
        const float own = x[i];
        x[i] = sum;
        sum += own;
    }
}
template <int W, int N>
void prefix_sum(Prefix<N>& G, const float (&g)[N]) {
    float high = 0, low = 0;
    for (int i = 0; i < N; i++) {
        const float x = g[i] < -1e5f ? -1e5f : g[i];
        const float s = high + x, back = s - high;
        low += (high - (s - back)) + (x - back);
        high = s;
        G.high[i] = high;
        G.low[i] = low;
    }
}

template <int W, int M, int N, class F>
TILE_FN void row_sums(float (&out)[M], float (&)[W * M], Acc<M, N, W>& acc, F f) {
    for (int r = 0; r < M; r++) {
        float s = 0;
        for (int c = 0; c < N; c++) s += f(acc.d[r][c], r, c);
        out[r] = s;
    }
}
template <int M, int N, int W, class F>
TILE_FN void own_row_sums(float (&out)[M], Acc<M, N, W>& acc, F f) {
    for (int r = 0; r < M; r++) {
        float s = 0;
        for (int c = 0; c < N; c++) s += f(acc.d[r][c], r, c);
        out[r] = s;
    }
}
template <int P, int M, int N, int W, class F>
TILE_FN void own_row_sums(float (&out)[P][M], Acc<M, N, W>& acc, F f) {
    for (int p = 0; p < P; p++)
        for (int r = 0; r < M; r++) {
            out[p][r] = 0;
            for (int c = p * N / P; c < (p + 1) * N / P; c++) out[p][r] += f(acc.d[r][c], r, c);
        }
}
template <int M, int N, int W, class V>
TILE_FN void own_row_products(float (&out)[M], Acc<M, N, W>& acc, const V& view) {
    const Strided tile = strided(view);
    for (int r = 0; r < M; r++) {
        float s = 0;
        for (int c = 0; c < N; c++) s = fused(acc.d[r][c], tile.at(r, c), s);
        out[r] = s;
    }
}
template <int N, int W>
TILE_FN void clear_diagonal(Acc<N, N, W>& acc) {
    for (int i = 0; i < N; i++) acc.d[i][i] = 0;
}
template <bool STRICT, int N, int W>
TILE_FN void keep_lower(Acc<N, N, W>& acc) {
    for (int r = 0; r < N; r++)
        for (int c = r + (STRICT ? 0 : 1); c < N; c++) acc.d[r][c] = 0;
}
template <int P, int M, int N, int W, class F>
TILE_FN void own_column_sums(float (&out)[P][N], Acc<M, N, W>& acc, F f) {
    for (int p = 0; p < P; p++)
        for (int c = 0; c < N; c++) {
            out[p][c] = 0;
            for (int r = p * M / P; r < (p + 1) * M / P; r++) out[p][c] += f(acc.d[r][c], r, c);
        }
}
template <int N, int W>
TILE_FN void own_crossing_sums(float (&out)[W][N], Acc<N, N, W>& acc) {
    for (int r = 0; r < N; r++) {
        float before = 0;
        for (int c = 0; c < N; c++) {
            const float x = acc.d[r][c];
            acc.d[r][c] = r >= c ? before : 0.f;
            before += x;
        }
    }
    own_column_sums(out, acc, [](float y, int, int) { return y; });
}
template <int W>
TILE_FN void warp_sums(float (&out)[W], float s) {
    for (int w = 0; w < W; w++) out[w] = w == 0 ? s : 0.f;
}
template <int W, int M, int N, class F>
TILE_FN void column_sums(float (&out)[N], float (&)[W * N], Acc<M, N, W>& acc, F f) {
    for (int c = 0; c < N; c++) out[c] = 0;
    for (int r = 0; r < M; r++)
        for (int c = 0; c < N; c++) out[c] += f(acc.d[r][c], r, c);
}
template <int W>
TILE_FN float total(float (&)[W], float share) {
    return share;
}
template <int W, class F>
TILE_FN float sum(float (&)[W], int64_t n, F f) {
    constexpr int LANES = 32;  // several partial sums, as on a device: less rounding than one long chain
    float partial[LANES] = {};
    for (int64_t i = 0; i < n; i++) partial[i % LANES] += f(i);
    for (int step = LANES / 2; step > 0; step /= 2)
        for (int i = 0; i < step; i++) partial[i] += partial[i + step];
    return partial[0];
}

template <int W, int C>
void invert_unit_lower(Tile<float, C, C>& a) {
    float x[C][C];
    for (int i = 0; i < C; i++) {
        for (int j = 0; j < C; j++) x[i][j] = i == j ? 1.f : 0.f;
        for (int k = 0; k < i; k++)
            for (int j = 0; j <= k; j++) x[i][j] -= a.d[i][k] * x[k][j];
    }
    memcpy(a.d, x, sizeof x);
}

template <int W, class T, int C, class F>
void invert_unit_lower(Tile<T, C, C>& out, Tile<float, C, C>& a, F f) {
    invert_unit_lower<W>(a);
    map<W>(out, a, f);
}

template <int W>
TILE_FN void group_barrier() {}
template <int W, int G, class F>
TILE_FN void groups(F f) {
    for (int g = 0; g < G; g++) f(g);
}
template <class X, int G>
struct Each {
    X x[G];
    TILE_FN X& operator[](int g) { return x[g]; }
};
// the roles in turn, now one first, now the other: neither may depend on the other between two barriers
template <int W0, int W1, int FIRST = 0, class A, class B, class Stop = Never>
TILE_FN void lockstep(int n, A& a, B& b, Stop stop = {}) {
    a.begin(), b.begin();
    b.ready(), a.ready();
    for (int c = 0; c < n && !stop(c); c++) {
        if (c % 2 == 0)
            a.step(c), b.step(c);
        else
            b.step(c), a.step(c);
    }
    a.end(), b.end();
}

template <class Kernel>
void run_block(const void* args, void* shared, int x) {
    block_index() = x;
    Kernel::run(*static_cast<typename Kernel::Shared*>(shared), *static_cast<const typename Kernel::Args*>(args));
}

}  // namespace tile

#define TILE_ENTRY(name, ...)                                                                    \
    extern "C" void name(const void* args, void* shared, int x, int, int) {                      \
        tile::run_block<__VA_ARGS__>(args, shared, x);                                           \
    }                                                                                            \
    extern "C" const unsigned int name##_launch[2] = {__VA_ARGS__::WARPS * 32u,                  \
                                                      (unsigned)sizeof(__VA_ARGS__::Shared)};
