// What the delta rules may do to their inputs before the recurrence, and the way back, each a small kernel of its own:
//   qk_l2norm       y = x / sqrt(sum_k x_k^2 + 1e-6), rounded to T
//   softplus_gate   g = -exp(A_log) softplus(raw + dt_bias), with log1p's accuracy at both ends; of width columns a head
//   beta_sigmoid    beta = factor sigmoid(raw), factor 2 with allow_neg_eigval, else 1
// and the sum of what value heads that share keys give as the gradient of those.
// Rows are all there are: R H for q and k, R = B T tokens for the gate. f32 between loads and stores.
//
// Launches (one-dimensional grids; a grid of 0 blocks is not launched). COUNT = C * K of the gate's and beta's instance.
//   NormForward, NormBackward    ceil(rows / C)          instances: T of the case, C = 16, KP >= K, any V
//   GroupSum                     ceil(R / C) H           instances: T of the case, C = 64, KP >= K, any V
//   GateForward                  ceil(R columns / COUNT) instance: (float, 64, 64, 32) throughout, as all below
//   GateBackward                 ceil(R / C) ceil(columns / K)
//   GateSums                     HV                      after GateBackward, when d_A_log or d_dt_bias is wanted
//   BetaForward, BetaBackward    ceil(R HV / COUNT)
// Workspace: partial, 2 * ceil(R / C) * columns floats. With R = 0 GateSums still runs, and writes zeros.
#include "../tile/tile.h"

namespace prologue {
using namespace tile;

TILE_FN float square_root(float x) {
#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
    return __fsqrt_rn(x);
#else
    return __builtin_sqrtf(x);
#endif
}

// log(1 + y) for 0 <= y <= 1 as 2 artanh(y / (2 + y))
TILE_FN float log1p(float y) {
    const float z = y / (2 + y), s = z * z;
    const float tail =
        s * (1.f / 3 + s * (1.f / 5 + s * (1.f / 7 + s * (1.f / 9 + s * (1.f / 11 + s * (1.f / 13 + s * (1.f / 15)))))));
    return 2 * (z + z * tail);
}
TILE_FN float magnitude(float x) { return x < 0 ? -x : x; }
TILE_FN float softplus(float x) { return (x > 0 ? x : 0.f) + log1p(exp<float>(-magnitude(x))); }
TILE_FN float sigmoid(float x) {
    const float e = exp<float>(-magnitude(x));
    return (x < 0 ? e : 1.f) / (1 + e);
}

struct NormArgs {
    const void *x, *d_y;  // [rows, K] of T; d_y for NormBackward only
    void* out;            // [rows, K] of T: y, or d_x
    long long rows;
    int K;
};
static_assert(sizeof(NormArgs) == 4 * 8 + 4 + 4, "twin of NormArgs");

template <class T, int C, int K, int V, bool BACK>
struct Norm {
    using Args = NormArgs;
    static constexpr int WARPS = 4, MIN_BLOCKS = 1;
    struct Shared {
        Tile<T, C, K> x, d_y;
        float squares[C], products[C], scratch[WARPS * C];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const long long row = (long long)block_id() * C, left = a.rows - row;
        const int count = left < C ? (int)left : C;
        load_async<WARPS>(s.x, (const T*)a.x + row * a.K, a.K, count, a.K);
        if (BACK) load_async<WARPS>(s.d_y, (const T*)a.d_y + row * a.K, a.K, count, a.K);
        commit();
        wait<0>();
        barrier();
        Acc<C, K, WARPS> x;
        zip(x, s.x, [](float& y, float given, int, int) { y = given; });
        row_sums<WARPS>(s.squares, s.scratch, x, [](float y, int, int) { return y * y; });
        if (BACK) row_sums<WARPS>(s.products, s.scratch, x, [&](float y, int r, int c) { return y * s.d_y.at(r, c); });
        for_each_index<WARPS, C>([&](int r) {
            const float square = s.squares[r] + 1e-6f;
            s.squares[r] = 1 / square_root(square);
            if (BACK) s.products[r] /= square;
        });
        barrier();
        if (BACK)
            zip(x, s.d_y, [&](float& y, float d, int r, int) { y = s.squares[r] * (d - s.products[r] * y); });
        else
            x.for_each([&](float& y, int r, int) { y *= s.squares[r]; });
        barrier();
        store(s.x, x);
        barrier();
        store_global<WARPS>((T*)a.out + row * a.K, a.K, s.x, count, a.K);
    }
};
template <class T, int C, int K, int V>
struct NormForward : Norm<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct NormBackward : Norm<T, C, K, V, true> {};

struct GateArgs {
    const float *raw, *A_log, *dt_bias;  // [R, columns], [HV], [columns] or null for 0
    const float* d_g;                    // [R, columns], GateBackward only
    float *g, *d_raw;                    // [R, columns]; g for GateForward, d_raw (or null) for GateBackward
    float* partial;                      // [ceil(R / C), 2, columns]: sums of d_g g and of d_raw; or null
    float *d_A_log, *d_dt_bias;          // [HV], [columns]; GateSums only, each or null
    long long R;
    int columns, width;  // HV * width
};
static_assert(sizeof(GateArgs) == 10 * 8 + 2 * 4, "twin of GateArgs");

template <class T, int C, int K, int V>
struct GateForward {
    using Args = GateArgs;
    static constexpr int WARPS = 8, MIN_BLOCKS = 1, COUNT = C * K;
    struct Shared {
        float unused;
    };

    static TILE_FN void run(Shared&, const Args& a) {
        const long long first = (long long)block_id() * COUNT, n = a.R * a.columns;
        for_each_index<WARPS, COUNT>([&](int i) {
            if (first + i >= n) return;
            const int column = (int)((first + i) % a.columns);
            const float x = a.raw[first + i] + (a.dt_bias ? a.dt_bias[column] : 0.f);
            a.g[first + i] = -exp<float>(a.A_log[column / a.width]) * softplus(x);
        });
    }
};

template <class T, int C, int K, int V>
struct GateBackward {
    using Args = GateArgs;
    static constexpr int WARPS = 8, MIN_BLOCKS = 1;
    struct Shared {
        float rate[K], bias[K], sums[K], scratch[WARPS * K];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int strips = (a.columns + K - 1) / K, first = block_id() % strips * K, cols = a.columns - first;
        const long long block = block_id() / strips, row = block * C, left = a.R - row, at = row * a.columns + first;
        const int rows = left < C ? (int)left : C;
        for_each_index<WARPS, K>([&](int c) {
            s.rate[c] = c < cols ? -exp<float>(a.A_log[(first + c) / a.width]) : 0.f;
            s.bias[c] = c < cols && a.dt_bias ? a.dt_bias[first + c] : 0.f;
        });
        barrier();
        Acc<C, K, WARPS> d, raw, d_rate;
        load(d, a.d_g + at, a.columns, 1, rows, cols);
        load(raw, a.raw + at, a.columns, 1, rows, cols);
        zip(d_rate, raw, [&](float& y, float x, int, int c) { y = s.rate[c] * softplus(x + s.bias[c]); });
        zip(d_rate, d, [](float& y, float d, int, int) { y *= d; });
        zip(raw, d, [&](float& x, float d, int, int c) { x = d * s.rate[c] * sigmoid(x + s.bias[c]); });
        if (a.d_raw) store_global(a.d_raw + at, a.columns, 1, raw, rows, cols);
        if (!a.partial) return;
        float* partial = a.partial + block * 2 * a.columns + first;
        auto keep = [&](Acc<C, K, WARPS>& x, int which) {
            column_sums<WARPS>(s.sums, s.scratch, x, [](float y, int, int) { return y; });
            for_each_index<WARPS, K>([&](int c) {
                if (c < cols) partial[(long long)which * a.columns + c] = s.sums[c];
            });
        };
        keep(d_rate, 0);
        keep(raw, 1);
    }
};

template <class T, int C, int K, int V>
struct GateSums {
    using Args = GateArgs;
    static constexpr int WARPS = 8, MIN_BLOCKS = 1;
    struct Shared {
        float scratch[WARPS];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int hv = block_id();
        const long long blocks = (a.R + C - 1) / C, first = (long long)hv * a.width;
        const float d_A_log = sum<WARPS>(s.scratch, blocks * a.width, [&](long long i) {
            return a.partial[i / a.width * 2 * a.columns + first + i % a.width];
        });
        for_each_index<WARPS, 1>([&](int) {
            if (a.d_A_log) a.d_A_log[hv] = d_A_log;
        });
        if (!a.d_dt_bias) return;
        for (int strip = 0; strip < a.width; strip += K)
            for_each_index<WARPS, K>([&](int i) {
                if (strip + i >= a.width) return;
                const long long column = first + strip + i;
                float d = 0;
                for (long long block = 0; block < blocks; block++)
                    d += a.partial[(block * 2 + 1) * a.columns + column];
                a.d_dt_bias[column] = d;
            });
    }
};

struct BetaArgs {
    const float *raw, *d_beta;  // [R, HV]; d_beta for BetaBackward only
    float* out;                 // [R, HV]: beta, or d_raw
    long long count;            // R HV
    float factor;
};
static_assert(sizeof(BetaArgs) == 4 * 8 + 4 + 4, "twin of BetaArgs");

template <class T, int C, int K, int V, bool BACK>
struct Beta {
    using Args = BetaArgs;
    static constexpr int WARPS = 8, MIN_BLOCKS = 1, COUNT = C * K;
    struct Shared {
        float unused;
    };

    static TILE_FN void run(Shared&, const Args& a) {
        const long long first = (long long)block_id() * COUNT;
        for_each_index<WARPS, COUNT>([&](int i) {
            const long long at = first + i;
            if (at >= a.count) return;
            const float x = a.raw[at], beta = a.factor * sigmoid(x);
            a.out[at] = BACK ? a.d_beta[at] * beta * sigmoid(-x) : beta;
        });
    }
};
template <class T, int C, int K, int V>
struct BetaForward : Beta<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct BetaBackward : Beta<T, C, K, V, true> {};

struct GroupSumArgs {
    const float* partial;  // [R, HV, K]
    void* out;             // [R, H, K], of T
    long long R;
    int H, HV, K;
};
static_assert(sizeof(GroupSumArgs) == 3 * 8 + 3 * 4 + 4, "twin of GroupSumArgs");

// the gradient of a key head: the sum over the value heads that read it, in their order
template <class T, int C, int K, int V>
struct GroupSum {
    using Args = GroupSumArgs;
    static constexpr int WARPS = 4, MIN_BLOCKS = 1, WIDTH = 8, SEVERAL = 4 * WARPS * TILE_LANES;
    struct Shared {
        float unused;
    };
    struct Part {
        float x[WIDTH];
    };

    // several parts of rows in each thread, so that many reads are under way
    template <bool WIDE>
    static TILE_FN void sum(const Args& a) {
        const long long first = (long long)(block_id() / a.H) * C, left = a.R - first;
        const int h = block_id() % a.H, group = a.HV / a.H;
        TILE_ROLL
        for (int begin = 0; begin < C * K / WIDTH; begin += SEVERAL) {
            Own<Part, SEVERAL, WARPS> sums;
            const auto each = [&](auto f) {
                sums.for_each([&](Part& y, int n) {
                    const int row = (begin + n) / (K / WIDTH), k = (begin + n) % (K / WIDTH) * WIDTH;
                    if (row < C && row < left && k < a.K) f(y, (first + row) * a.H + h, k);
                });
            };
            each([](Part& y, long long, int) {
                for (float& x : y.x) x = 0;
            });
            for (int j = 0; j < group; j++)
                each([&](Part& y, long long row, int k) {
                    float x[WIDTH];
                    read_floats<WIDE>(x, a.partial + (row * group + j) * a.K + k, a.K - k);
                    TILE_UNROLL
                    for (int e = 0; e < WIDTH; e++) y.x[e] += x[e];
                });
            each([&](Part& y, long long row, int k) { write_floats<WIDE>((T*)a.out + row * a.K + k, a.K - k, y.x); });
        }
    }
    static TILE_FN void run(Shared&, const Args& a) {
        if (wide_rows(a.K, WIDTH))
            sum<true>(a);
        else
            sum<false>(a);
    }
};

}  // namespace prologue

using prologue::BetaBackward;
using prologue::BetaForward;
using prologue::GateBackward;
using prologue::GateForward;
using prologue::GateSums;
using prologue::GroupSum;
using prologue::NormBackward;
using prologue::NormForward;
