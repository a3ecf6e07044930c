// What gated_delta_rule may do to its inputs before the recurrence, and the way back, each a small kernel of its own:
//   qk_l2norm       y = x / sqrt(sum_k x_k^2 + 1e-6), rounded to T
//   softplus_gate   g = -exp(A_log) softplus(raw + dt_bias), with log1p's accuracy at both ends
//   beta_sigmoid    beta = factor sigmoid(raw), factor 2 with allow_neg_eigval, else 1
// Rows are all there are: R H for q and k, R = B T tokens for the gate. f32 between loads and stores.
//
// Launches (one-dimensional grids; a grid of 0 blocks is not launched). COUNT = C * K of the gate's and beta's instance.
//   NormForward, NormBackward    ceil(rows / C)          instances: T of the case, C = 16, KP >= K, any V
//   GateForward                  ceil(R HV / COUNT)      instance: (float, 64, 64, 32) throughout, as all below
//   GateBackward                 ceil(R / COUNT) HV
//   GateSums                     HV                      after GateBackward, when d_A_log or d_dt_bias is wanted
//   BetaForward, BetaBackward    ceil(R HV / COUNT)
// Workspace: partial, 2 * ceil(R / COUNT) * HV floats. With R = 0 GateSums still runs, and writes zeros.
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
    const float *raw, *A_log, *dt_bias;  // [R, HV], [HV], [HV] or null for 0
    const float* d_g;                    // [R, HV], GateBackward only
    float *g, *d_raw;                    // [R, HV]; g for GateForward, d_raw (or null) for GateBackward
    float* partial;                      // [ceil(R / COUNT), 2, HV]: sums of d_g g and of d_raw; or null
    float *d_A_log, *d_dt_bias;          // [HV], GateSums only, each or null
    long long R;
    int HV;
};
static_assert(sizeof(GateArgs) == 10 * 8 + 4 + 4, "twin of GateArgs");

template <class T, int C, int K, int V>
struct GateForward {
    using Args = GateArgs;
    static constexpr int WARPS = 8, MIN_BLOCKS = 1, COUNT = C * K;
    struct Shared {
        float unused;
    };

    static TILE_FN void run(Shared&, const Args& a) {
        const long long first = (long long)block_id() * COUNT, n = a.R * a.HV;
        for_each_index<WARPS, COUNT>([&](int i) {
            if (first + i >= n) return;
            const int hv = (int)((first + i) % a.HV);
            const float x = a.raw[first + i] + (a.dt_bias ? a.dt_bias[hv] : 0.f);
            a.g[first + i] = -exp<float>(a.A_log[hv]) * softplus(x);
        });
    }
};

template <class T, int C, int K, int V>
struct GateBackward {
    using Args = GateArgs;
    static constexpr int WARPS = 8, MIN_BLOCKS = 1, COUNT = C * K;
    struct Shared {
        float scratch[WARPS];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int block = block_id() / a.HV, hv = block_id() % a.HV;
        const long long first = (long long)block * COUNT, left = a.R - first, count = left < COUNT ? left : COUNT;
        const float rate = -exp<float>(a.A_log[hv]), bias = a.dt_bias ? a.dt_bias[hv] : 0.f;
        const float d_A_log = sum<WARPS>(s.scratch, count, [&](long long i) {
            const long long at = (first + i) * a.HV + hv;
            return a.d_g[at] * (rate * softplus(a.raw[at] + bias));
        });
        const float d_dt_bias = sum<WARPS>(s.scratch, count, [&](long long i) {
            const long long at = (first + i) * a.HV + hv;
            const float d = a.d_g[at] * (rate * sigmoid(a.raw[at] + bias));
            if (a.d_raw) a.d_raw[at] = d;
            return d;
        });
        if (!a.partial) return;
        for_each_index<WARPS, 2>([&](int i) {
            a.partial[((long long)block * 2 + i) * a.HV + hv] = i == 0 ? d_A_log : d_dt_bias;
        });
    }
};

template <class T, int C, int K, int V>
struct GateSums {
    using Args = GateArgs;
    static constexpr int WARPS = 8, MIN_BLOCKS = 1, COUNT = C * K;
    struct Shared {
        float scratch[WARPS];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int hv = block_id();
        const long long blocks = (a.R + COUNT - 1) / COUNT;
        auto total = [&](int which) {
            return sum<WARPS>(s.scratch, blocks, [&](long long i) { return a.partial[(i * 2 + which) * a.HV + hv]; });
        };
        const float d_A_log = total(0), d_dt_bias = total(1);
        for_each_index<WARPS, 1>([&](int) {
            if (a.d_A_log) a.d_A_log[hv] = d_A_log;
            if (a.d_dt_bias) a.d_dt_bias[hv] = d_dt_bias;
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

}  // namespace prologue

using prologue::BetaBackward;
using prologue::BetaForward;
using prologue::GateBackward;
using prologue::GateForward;
using prologue::GateSums;
using prologue::NormBackward;
using prologue::NormForward;
