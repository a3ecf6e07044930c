// The denominator of normalized_linear_attn and its gradients, in f32:
//   z_t = z_{t-1} + k_t,  divisor_t = scale q_t . z_t + 1e-10,  o_t = (scale h_t^T q_t) / divisor_t,
// the numerator and the division being simple_gla's forward pass. Backwards, with d_n = d_o / divisor what simple_gla's
// kernels are given and e_t = -scale (d_n_t . o_t),
//   d_q_t += e_t z_t,   d_k_j += sum over t >= j of e_t q_t + d_zt.
// Where values are much alike, so are both terms but for their signs: what simple_gla's kernels leave of d_q and d_k is
// not rounded before the sum, and e is of d_n as they have it.
//
// NormalizerForward    grid N H                         before the forward pass
// NormalizerSplit      grid ceil(B T H / C)             after it; rows are tokens and heads. Not needed without d_o
// NormalizerBackward   grid N H                         after simple_gla's gradients
// workspace: divisor and e, f32, B T H elements each; d_n, of the storage type, B T H V; in 16 bits n_q and n_k, f32,
// B T H K each (no initialisation needed).
#include "sequence.h"

namespace normalizer {
using namespace sequence;

constexpr float EPSILON = 1e-10f;

// the sum of a row, by parts of every eighth element
constexpr int PARTS = 8;
TILE_FN float sum_of_parts(const float* x) {
    return ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
}

template <class T>
struct ForwardArgs {
    const T *q, *k;            // [B T, H, K]
    const float* z0;           // [N, H, K] or null
    float *divisor, *zt;       // [B T, H]; [N, H, K] or null
    const long long* offsets;  // [N + 1]
    int H, K, reverse;
    float scale;
};
static_assert(sizeof(ForwardArgs<bf16>) == 64, "the launcher's twin must match");

struct Place {
    Sequence seq;
    int h;
    long long state;  // element of [N, H, K]

    TILE_FN Place(const long long* offsets, int H, int K, int reverse)
        : seq(offsets, block_id() / H, reverse), h(block_id() % H), state((long long)block_id() * K) {}
};

// adds up the rows of x on top of sum, which then has all of them
template <int W, int C, int N, int S>
TILE_FN void carry(Columns<C, N, W>& x, float (&sum)[N], float (&total)[N], float (&scratch)[S], bool back) {
    if (back)
        running_sums<W, true>(x, total, scratch);
    else
        running_sums<W, false>(x, total, scratch);
    x.for_each([&](float& y, float& z, int, int c) {
        y += sum[c];
        z += sum[c + 1];
    });
    barrier();
    for_each_index<W, N>([&](int c) { sum[c] += total[c]; });
}

template <class T, int C, int K, int V>
struct NormalizerForward {
    using Args = ForwardArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1;
    using Keys = Columns<C, K, WARPS>;
    struct Shared {
        Tile<T, C, K> q, k;
        Tile<float, C, K> product;
        float z[K], total[K], scratch[Keys::SCRATCH], part[C * PARTS];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at(a.offsets, a.H, a.K, a.reverse);
        for_each_index<WARPS, K>([&](int c) { s.z[c] = a.z0 && c < a.K ? a.z0[at.state + c] : 0.f; });
        for (int token = 0; token < at.seq.length; token += C) {
            fetch_rows<WARPS>(s.q, a.q, at, a.H, token, a.K, 0);
            fetch_rows<WARPS>(s.k, a.k, at, a.H, token, a.K, 0);
            commit();
            wait<0>();
            barrier();
            Keys Z;
            recall(Z, s.k);
            carry(Z, s.z, s.total, s.scratch, false);
            Z.for_each([&](float& x, float& y, int r, int c) {
                float q0, q1;
                s.q.get_pair(q0, q1, r, c);
                s.product.set_pair(r, c, x * q0, y * q1);
            });
            barrier();
            const Rows<float> out(a.divisor, at.seq, token, a.H, at.h, 1);
            for_each_index<WARPS, C * PARTS>([&](int n) {
                float sum = 0;
                TILE_UNROLL
                for (int c = 0; c < K; c += PARTS) sum += s.product.at(n / PARTS, c + n % PARTS);
                s.part[n] = sum;
            });
            barrier();
            for_each_index<WARPS, C>([&](int i) {
                const float sum = sum_of_parts(s.part + i * PARTS);
                if (i < at.seq.length - token) out.ptr[i * out.ld] = fused(a.scale, sum, EPSILON);
            });
            barrier();
        }
        barrier();
        for_each_index<WARPS, K>([&](int c) {
            if (a.zt && c < a.K) a.zt[at.state + c] = s.z[c];
        });
    }
};

template <class T>
struct SplitArgs {
    const T *o, *d_o;      // [rows, V]
    const float* divisor;  // [rows]
    T* d_n;                // [rows, V]
    float* e;              // [rows]
    long long rows;
    int V;
    float scale;
};
static_assert(sizeof(SplitArgs<bf16>) == 56, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct NormalizerSplit {
    using Args = SplitArgs<T>;
    static constexpr int WARPS = 128 / TILE_LANES, MIN_BLOCKS = 1;
    struct Shared {
        Tile<T, C, V> o, d_o;
        float dot[C], part[C * PARTS];
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const long long row = (long long)block_id() * C, left = a.rows - row;
        const int count = left < C ? (int)left : C;
        for_each_index<WARPS, C>([&](int i) { s.dot[i] = 0; });
        for (int v0 = 0; v0 < a.V; v0 += V) {
            barrier();
            load_async<WARPS>(s.o, a.o + row * a.V + v0, a.V, count, a.V - v0);
            load_async<WARPS>(s.d_o, a.d_o + row * a.V + v0, a.V, count, a.V - v0);
            commit();
            wait<0>();
            barrier();
            map<WARPS>(s.d_o, s.d_o, [&](float x, int i, int) { return i < count ? x / a.divisor[row + i] : 0.f; });
            barrier();
            for_each_index<WARPS, C * PARTS>([&](int n) {
                float sum = 0;
                const int i = n / PARTS;
                TILE_UNROLL
                for (int c = n % PARTS; c < V; c += PARTS) sum += s.o.at(i, c) * s.d_o.at(i, c);
                s.part[n] = sum;
            });
            barrier();
            for_each_index<WARPS, C>([&](int i) { s.dot[i] += sum_of_parts(s.part + i * PARTS); });
            store_global<WARPS>(a.d_n + row * a.V + v0, a.V, s.d_o, count, a.V - v0);
        }
        for_each_index<WARPS, C>([&](int i) {
            if (i < count) a.e[row + i] = -a.scale * s.dot[i];
        });
    }
};

template <class T>
struct BackwardArgs {
    const T *q, *k;            // [B T, H, K]
    const float *z0, *d_zt;    // [N, H, K] or null
    const float* e;            // [B T, H] or null for zeros
    const float *n_q, *n_k;    // as d_q and d_k, and in their place where they are f32: what simple_gla's kernels left
    T *d_q, *d_k;              // [B T, H, K] or null
    float* d_z0;               // [N, H, K] or null
    const long long* offsets;  // [N + 1]
    int H, K, reverse;
};
static_assert(sizeof(BackwardArgs<bf16>) == 104, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct NormalizerBackward {
    using Args = BackwardArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1;
    using Keys = Columns<C, K, WARPS>;
    struct Shared {
        Tile<T, C, K> x;  // and what goes out after it
        Tile<float, C, K> d;
        float sum[K], total[K], scratch[Keys::SCRATCH], e[C];
    };

    // to = from + f(running sums of base), chunk by chunk
    template <class Before, class After>
    static TILE_FN void pass(Shared& s, const Args& a, const Place& at, const T* base, const float* from, T* to,
                             bool back, Before before, After after) {
        const int chunks = (at.seq.length + C - 1) / C;
        for (int n = 0; n < chunks; n++) {
            const int token = (back ? chunks - 1 - n : n) * C, left = at.seq.length - token;
            barrier();
            fetch_rows<WARPS>(s.x, base, at, a.H, token, a.K, 0);
            fetch_rows<WARPS>(s.d, from, at, a.H, token, a.K, 0);
            const Rows<const float> e(a.e, at.seq, token, a.H, at.h, 1);
            load_async<WARPS>(s.e, a.e ? e.ptr : nullptr, e.ld, a.e ? left : 0);
            commit();
            wait<0>();
            barrier();
            Keys X;
            X.for_each([&](float& x, float& y, int r, int c) {
                s.x.get_pair(x, y, r, c);
                x *= before(s.e[r]);
                y *= before(s.e[r]);
            });
            carry(X, s.sum, s.total, s.scratch, back);
            if (!to) continue;
            X.for_each([&](float& x, float& y, int r, int c) {
                float d0, d1;
                s.d.get_pair(d0, d1, r, c);
                s.x.set_pair(r, c, fused(after(s.e[r]), x, d0), fused(after(s.e[r]), y, d1));
            });
            barrier();
            const Rows<T> out(to, at.seq, token, a.H, at.h, a.K);
            store_global<WARPS>(out.ptr, out.ld, s.x, left, a.K);
        }
        barrier();
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at(a.offsets, a.H, a.K, a.reverse);
        const auto same = [](float e) { return e; };
        const auto one = [](float) { return 1.f; };
        if (a.d_q) {
            for_each_index<WARPS, K>([&](int c) { s.sum[c] = a.z0 && c < a.K ? a.z0[at.state + c] : 0.f; });
            pass(s, a, at, a.k, a.n_q, a.d_q, false, one, same);
        }
        if (!a.d_k && !a.d_z0) return;
        for_each_index<WARPS, K>([&](int c) { s.sum[c] = a.d_zt && c < a.K ? a.d_zt[at.state + c] : 0.f; });
        pass(s, a, at, a.q, a.n_k, a.d_k, true, same, one);
        for_each_index<WARPS, K>([&](int c) {
            if (a.d_z0 && c < a.K) a.d_z0[at.state + c] = s.sum[c];
        });
    }
};

}  // namespace normalizer

using normalizer::NormalizerBackward;
using normalizer::NormalizerForward;
using normalizer::NormalizerSplit;
