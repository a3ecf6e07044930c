// hgrn: h_t = exp(g_t) h_{t-1} + x_t,  o_t = h_t, channel by channel in f32.
// Backward, from the last token to the first, with c the gradient that reaches h_t from later tokens (d_ht at the end):
//   d_x_t = d_o_t + c,   d_g_t = d_x_t exp(g_t) h_{t-1},   c <- d_x_t exp(g_t);   d_h0 is what is left.
// h_{t-1} is computed again within chunks of C tokens from the states before them, never by division.
//
// Tokens are rows p of [B T, D]; sequence n owns the rows offsets[n] .. offsets[n+1]; chunks[n] = sum of ceil(length / C) over
// the sequences before n, total = chunks[N]. slices = ceil(D / K): a block works on K channels of one sequence.
//
// forward:   HgrnForward    grid N slices
// backward:  HgrnStates     grid N slices     when d_g is wanted
//            HgrnBackward   grid N slices
// workspace: states, f32, total D elements (no initialisation needed).
#include "../tile/tile.h"

namespace hgrn {
using namespace tile;

template <class T>
struct Args {
    const T *x, *g, *d_o;       // [B T, D]; x not in HgrnBackward without d_g; d_o in HgrnBackward only, or null for zeros
    const float *h0, *d_ht;     // [N, D], each may be null
    T *o, *d_x, *d_g;           // [B T, D]; d_x and d_g may be null
    float *ht, *d_h0, *states;  // [N, D] or null, [N, D] or null, [total, D]
    const long long *offsets, *chunks;
    int D, slices;
};
static_assert(sizeof(Args<bf16>) == 13 * 8 + 2 * 4, "the launcher's twin must match");

// runs f(channel, sequence) for the block's channels, each by one thread
template <int W, int K, class A, class F>
TILE_FN void for_channels(const A& a, F f) {
    const int n = block_id() / a.slices, first = block_id() % a.slices * K;
    for_each_index<W, K>([&](int i) {
        if (first + i < a.D) f(first + i, n, i);
    });
}

// V tokens' loads are in flight before the first is used
template <int V, class T, class F>
TILE_FN void walk(const T* x, const T* g, long long ld, long long count, F f) {
    for (long long t = 0; t < count; t += V) {
        float xs[V], gs[V];
        for (int u = 0; u < V; u++) {
            const bool inside = t + u < count;
            xs[u] = inside ? to_float(x[(t + u) * ld]) : 0.f;
            gs[u] = inside ? to_float(g[(t + u) * ld]) : 0.f;
        }
        for (int u = 0; u < V; u++)
            if (t + u < count) f(t + u, xs[u], exp<float>(gs[u]));
    }
}

template <class T, int C, int K, int V>
struct HgrnForward {
    using Args = hgrn::Args<T>;
    static constexpr int WARPS = K / TILE_LANES, MIN_BLOCKS = 1;
    struct Shared {
        float unused;
    };

    static TILE_FN void run(Shared&, const Args& a) {
        for_channels<WARPS, K>(a, [&](int channel, int n, int) {
            const long long row = a.offsets[n] * a.D + channel, state = (long long)n * a.D + channel;
            float h = a.h0 ? a.h0[state] : 0.f;
            walk<V>(a.x + row, a.g + row, a.D, a.offsets[n + 1] - a.offsets[n], [&](long long t, float x, float decay) {
                h = decay * h + x;
                a.o[row + t * a.D] = round_to<T>(h);
            });
            if (a.ht) a.ht[state] = h;
        });
    }
};

template <class T, int C, int K, int V>
struct HgrnStates {
    using Args = hgrn::Args<T>;
    static constexpr int WARPS = K / TILE_LANES, MIN_BLOCKS = 1;
    struct Shared {
        float unused;
    };

    static TILE_FN void run(Shared&, const Args& a) {
        for_channels<WARPS, K>(a, [&](int channel, int n, int) {
            const long long row = a.offsets[n] * a.D + channel;
            float h = a.h0 ? a.h0[(long long)n * a.D + channel] : 0.f;
            walk<V>(a.x + row, a.g + row, a.D, a.offsets[n + 1] - a.offsets[n], [&](long long t, float x, float decay) {
                if (t % C == 0) a.states[(a.chunks[n] + t / C) * a.D + channel] = h;
                h = decay * h + x;
            });
        });
    }
};

template <class T, int C, int K, int V>
struct HgrnBackward {
    using Args = hgrn::Args<T>;
    static constexpr int WARPS = K / TILE_LANES, MIN_BLOCKS = 1;
    struct Shared {
        float h[C][K];  // the state before each token of the chunk; a thread reads what it wrote
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        for_channels<WARPS, K>(a, [&](int channel, int n, int i) {
            const long long row = a.offsets[n] * a.D + channel, state = (long long)n * a.D + channel;
            const long long length = a.offsets[n + 1] - a.offsets[n];
            float c = a.d_ht ? a.d_ht[state] : 0.f;
            for (long long chunk = (length + C - 1) / C - 1; chunk >= 0; chunk--) {
                const long long first = row + chunk * C * a.D;
                const int count = length - chunk * C < C ? (int)(length - chunk * C) : C;
                if (a.d_g) {
                    float h = a.states[(a.chunks[n] + chunk) * a.D + channel];
                    walk<V>(a.x + first, a.g + first, a.D, count, [&](long long t, float x, float decay) {
                        s.h[t][i] = h;
                        h = decay * h + x;
                    });
                }
                for (int t = count - 1; t >= 0; t--) {
                    const long long at = first + (long long)t * a.D;
                    const float decay = exp<float>(to_float(a.g[at])), d_h = c + (a.d_o ? to_float(a.d_o[at]) : 0.f);
                    if (a.d_x) a.d_x[at] = round_to<T>(d_h);
                    c = d_h * decay;
                    if (a.d_g) a.d_g[at] = round_to<T>(c * s.h[t][i]);
                }
            }
            if (a.d_h0) a.d_h0[state] = c;
        });
    }
};

}  // namespace hgrn

using hgrn::HgrnBackward;
using hgrn::HgrnForward;
using hgrn::HgrnStates;
