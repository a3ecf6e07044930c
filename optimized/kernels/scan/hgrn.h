// What hgrn's kernels share.
#pragma once
#include "../tile/tile.h"

namespace hgrn {
using namespace tile;

template <class T>
struct Args {
    const T *x, *g, *d_o;          // [B T, D]; x not in HgrnBackward without d_g; d_o only backward, or null for zeros
    const float *h0, *d_ht;        // [N, D], each may be null
    T *o, *d_x, *d_g;              // [B T, D], each may be null
    float *ht, *d_h0, *states;     // [N, D] or null, [N, D] or null, [total, D] or null
    float *decays, *ends, *backs;  // [P, D], what a piece does: h -> decay h + end, c -> decay c + back; or null
    const long long *offsets, *chunks, *pieces;
    const int* owners;
    int D, slices;
};
static_assert(sizeof(Args<bf16>) == 18 * 8 + 2 * 4, "the launcher's twin must match");

// What both directions share: the place of a block, and the cut of a chunk into items of V tokens of two channels.
template <class T, int C, int K, int V>
struct Scan {
    using Args = hgrn::Args<T>;
    static constexpr int SEGMENTS = C / V, ITEMS = SEGMENTS * K / 2, WARPS = ITEMS / TILE_LANES, MIN_BLOCKS = 1;
    static constexpr int STAGES = TILE_ASYNC ? 3 : 1;

    struct Two {
        float x, y;
    };
    struct Item {
        Two decay[V], x[V];
    };
    using Items = Own<Item, ITEMS, WARPS>;
    static TILE_FN int channel(int item) { return item % (K / 2) * 2; }
    static TILE_FN int segment(int item) { return item / (K / 2); }
    static TILE_FN Two decays(const Two& g) { return {exp<float>(g.x), exp<float>(g.y)}; }
    static TILE_FN Two two(const Tile<T, C, K>& tile, int r, int c) {
        Two y;
        tile.get_pair(y.x, y.y, r, c);
        return y;
    }
    // factor * x + more, in each channel
    static TILE_FN Two join(const Two& factor, const Two& x, const Two& more) {
        return {fused(factor.x, x.x, more.x), fused(factor.y, x.y, more.y)};
    }
    static TILE_FN Two times(const Two& a, const Two& b) { return {a.x * b.x, a.y * b.y}; }

    struct Place {
        int piece, lead, tail;  // the sequence's pieces are lead .. tail
        int first, width;       // first channel, channels from there on
        long long row, length, state, chunk;
    };
    static TILE_FN Place place(const Args& a) {
        const int i = block_id() / a.slices, first = block_id() % a.slices * K, n = a.owners[i];
        const long long row = a.offsets[i], length = a.offsets[i + 1] - row, state = (long long)n * a.D + first;
        return {i, (int)a.pieces[n], (int)a.pieces[n + 1], first, a.D - first, row, length, state, a.chunks[i]};
    }
    static TILE_FN int count(const Place& at, int chunk) {
        const long long left = at.length - (long long)chunk * C;
        return left < C ? (int)left : C;
    }
    static TILE_FN long long element(const Args& a, const Place& at, int chunk) {
        return (at.row + (long long)chunk * C) * a.D + at.first;
    }
    // what the pieces from .. to, in this order or the other, make of a state
    static TILE_FN void begin(float (&carry)[K], const float* state, const Place& at, const Args& a, const float* ends,
                              int from, int to) {
        constexpr int AHEAD = 8;  // loaded together, for the sake of their latency
        const int step = from < to ? 1 : -1, count = (to - from) * step;
        for_each_index<WARPS, K>([&](int k) {
            float h = state && k < at.width ? state[at.state + k] : 0.f;
            for (int i = 0; i < count && k < at.width; i += AHEAD) {
                float decay[AHEAD], end[AHEAD];
                TILE_UNROLL
                for (int u = 0; u < AHEAD; u++) {
                    const int piece = from + step * (i + u < count ? i + u : i);
                    const long long of = (long long)piece * a.D + at.first + k;
                    decay[u] = a.decays[of], end[u] = ends[of];
                }
                TILE_UNROLL
                for (int u = 0; u < AHEAD; u++)
                    if (i + u < count) h = fused(decay[u], h, end[u]);
            }
            carry[k] = h;
        });
    }
    static TILE_FN void end(float* state, const float (&carry)[K], const Place& at) {
        if (!state) return;
        for_each_index<WARPS, K>([&](int k) {
            if (k < at.width) state[at.state + k] = carry[k];
        });
    }
    // what a whole segment does, and the state that enters it, from the one that enters the chunk
    struct Segments {
        Two decay[SEGMENTS][K / 2], end[SEGMENTS][K / 2];
    };
    static TILE_FN Two enter(const Segments& s, const float (&carry)[K], int c, int segment) {
        Two h = {carry[c], carry[c + 1]};
        for (int i = 0; i < segment; i++) h = join(s.decay[i][c / 2], h, s.end[i][c / 2]);
        return h;
    }
};

}  // namespace hgrn
