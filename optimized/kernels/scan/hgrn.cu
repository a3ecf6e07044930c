// hgrn: h_t = exp(g_t) h_{t-1} + x_t,  o_t = h_t, channel by channel in f32.
// Backward, from the last token to the first, with c the gradient that reaches h_t from later tokens (d_ht at the end):
//   d_x_t = d_o_t + c,   d_g_t = d_x_t exp(g_t) h_{t-1},   c <- d_x_t exp(g_t);   d_h0 is what is left.
// h_{t-1} is computed again within chunks of C tokens from the states before them, never by division.
//
// A block walks one piece of a sequence chunk by chunk on K channels. Within a chunk, C / V segments of V tokens run
// side by side: each sums up what it does to whatever state enters it, h -> decay h + end (and c -> decay c + back), in
// one pass; in a second it knows the state that enters it and gives its outputs. Between the passes everything stays in
// registers, so that every number is loaded once, and the copies of later chunks are under way meanwhile.
//
// Where sequences fill the device, each is one piece. Where they are few, each is cut after every so many tokens,
// HgrnPieces sums up what every piece does, and a piece begins with what the pieces before it (backward: behind it) make
// of h0 (of d_ht). Where no sequence has more than one token, as in a step of generation, HgrnStep takes 16 bytes of
// channels a thread, with the very operations of a segment.
//
// Tokens are rows p of [B T, D]; piece i owns the rows offsets[i] .. offsets[i+1] and belongs to sequence n =
// owners[i], whose pieces are pieces[n] .. pieces[n+1]; chunks[i] = sum of ceil(length / C) over the pieces before i,
// total = chunks[P]. slices = ceil(D / K).
//
// first:     HgrnPieces     grid P slices     where P > N, or where sequences would be cut and ht is wanted
// forward:   HgrnForward    grid P slices     also before backward when d_g is wanted, for the states
//            HgrnStep       grid N slices     instead, of one token without gradients; slices of 256 threads' channels
// backward:  HgrnBackward   grid P slices
// workspace: states, f32, total D elements; with HgrnPieces decays, ends, backs, f32, P D each (no
//            initialisation needed).
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

template <class T, int C, int K, int V>
struct HgrnForward : Scan<T, C, K, V> {
    using S = Scan<T, C, K, V>;
    using Args = typename S::Args;
    using Two = typename S::Two;
    using Item = typename S::Item;
    using Place = typename S::Place;
    using S::STAGES, S::WARPS;
    struct Stage {
        Tile<T, C, K> x, g;
    };
    struct Shared {
        Stage stage[STAGES];
        typename S::Segments segments;
        float carry[2][K];  // by the parity of the chunk that it enters
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int chunk) {
        const long long from = S::element(a, at, chunk);
        const int rows = S::count(at, chunk);
        load_async<WARPS>(x.x, a.x + from, a.D, rows, at.width);
        load_async<WARPS>(x.g, a.g + from, a.D, rows, at.width);
    }

    // what a segment does: h -> decay h + end
    static TILE_FN void sum_up(Item& y, const Stage& x, typename S::Segments& s, int item) {
        const int c = S::channel(item), segment = S::segment(item);
        Two decay = {1, 1}, h = {0, 0};
        TILE_UNROLL
        for (int u = 0; u < V; u++) {
            y.decay[u] = S::decays(S::two(x.g, segment * V + u, c));
            y.x[u] = S::two(x.x, segment * V + u, c);
            decay = S::times(decay, y.decay[u]);
            h = S::join(y.decay[u], h, y.x[u]);
        }
        s.decay[segment][c / 2] = decay;
        s.end[segment][c / 2] = h;
    }

    static TILE_FN void step(Shared& s, Stage& x, const Args& a, const Place& at, int chunk) {
        typename S::Items items;
        items.for_each([&](Item& y, int item) { sum_up(y, x, s.segments, item); });
        barrier();
        const float(&carry)[K] = s.carry[chunk & 1];
        float(&next)[K] = s.carry[(chunk & 1) ^ 1];
        items.for_each([&](Item& y, int item) {
            const int c = S::channel(item), segment = S::segment(item);
            Two h = S::enter(s.segments, carry, c, segment);
            if (a.states && segment == 0) {
                float* state = a.states + (at.chunk + chunk) * a.D + at.first + c;
                if (c < at.width) state[0] = h.x;
                if (c + 1 < at.width) state[1] = h.y;
            }
            TILE_UNROLL
            for (int u = 0; u < V; u++) {
                h = S::join(y.decay[u], h, y.x[u]);
                x.x.set_pair(segment * V + u, c, h.x, h.y);
            }
            if (segment == S::SEGMENTS - 1) next[c] = h.x, next[c + 1] = h.y;
        });
        barrier();
        if (a.o) store_global<WARPS>(a.o + S::element(a, at, chunk), a.D, x.x, S::count(at, chunk), at.width);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = S::place(a);
        const int n = (int)((at.length + C - 1) / C);
        S::begin(s.carry[0], a.h0, at, a, a.ends, at.lead, at.piece);
        for (int c = 1 - STAGES; c < n; c++) {
            const int next = c + STAGES - 1;
            if (next < n) fetch(s.stage[next % STAGES], a, at, next);
            commit();
            if (STAGES > 1 && c < 0) continue;
            wait<STAGES - 1>();
            barrier();
            step(s, s.stage[c % STAGES], a, at, c);
            barrier();
        }
        barrier();
        if (at.piece != at.tail - 1) return;
        // of the pieces' sums, to which tokens that write and forget nothing add nothing, in whatever piece they lie
        if (a.ends) S::begin(s.carry[n & 1], a.h0, at, a, a.ends, at.lead, at.tail);
        S::end(a.ht, s.carry[n & 1], at);
    }
};

template <class T, int C, int K, int V>
struct HgrnBackward : Scan<T, C, K, V> {
    using S = Scan<T, C, K, V>;
    using Args = typename S::Args;
    using Two = typename S::Two;
    using Item = typename S::Item;
    using Place = typename S::Place;
    using S::STAGES, S::WARPS;
    struct Stage {
        Tile<T, C, K> x, g, d_o;
        float h[K];
    };
    struct Shared {
        Stage stage[STAGES];
        typename S::Segments segments;
        Two back[S::SEGMENTS][K / 2];
        float carry[2][K];  // c, by the parity of the chunk that it enters
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int chunk) {
        const long long from = S::element(a, at, chunk);
        const int rows = S::count(at, chunk);
        // what is not given has the shape of g, and is not read then
        load_async<WARPS>(x.x, (a.d_g ? a.x : a.g) + from, a.D, a.d_g ? rows : 0, at.width);
        load_async<WARPS>(x.g, a.g + from, a.D, rows, at.width);
        load_async<WARPS>(x.d_o, (a.d_o ? a.d_o : a.g) + from, a.D, a.d_o ? rows : 0, at.width);
        if (a.d_g) load_async<WARPS>(x.h, a.states + (at.chunk + chunk) * a.D + at.first, 1, at.width);
    }

    // what a segment does: h -> decay h + end, c -> decay c + back
    static TILE_FN void sum_up(Item& y, const Stage& x, Shared& s, int item) {
        const int c = S::channel(item), segment = S::segment(item);
        Two decay = {1, 1}, h = {0, 0}, back = {0, 0};
        TILE_UNROLL
        for (int u = 0; u < V; u++) {
            y.decay[u] = S::decays(S::two(x.g, segment * V + u, c));
            y.x[u] = S::two(x.x, segment * V + u, c);
            decay = S::times(decay, y.decay[u]);
            h = S::join(y.decay[u], h, y.x[u]);
        }
        TILE_UNROLL
        for (int u = V - 1; u >= 0; u--) {
            const Two d = S::two(x.d_o, segment * V + u, c);
            back = S::times(y.decay[u], {back.x + d.x, back.y + d.y});
        }
        s.segments.decay[segment][c / 2] = decay;
        s.segments.end[segment][c / 2] = h;
        s.back[segment][c / 2] = back;
    }

    // d_x in place of x, d_g in place of g
    static TILE_FN void finish(Item& y, Stage& x, Shared& s, bool d_g, int item, const float (&carry)[K],
                               float (&next)[K]) {
        const int k = S::channel(item), segment = S::segment(item);
        if (d_g) {
            Two h = S::enter(s.segments, x.h, k, segment);
            TILE_UNROLL
            for (int u = 0; u < V; u++) {
                const Two before = h;
                h = S::join(y.decay[u], h, y.x[u]);
                y.x[u] = before;
            }
        }
        Two c = {carry[k], carry[k + 1]};
        for (int i = S::SEGMENTS - 1; i > segment; i--) c = S::join(s.segments.decay[i][k / 2], c, s.back[i][k / 2]);
        TILE_UNROLL
        for (int u = V - 1; u >= 0; u--) {
            const int r = segment * V + u;
            const Two d = S::two(x.d_o, r, k);
            c = {c.x + d.x, c.y + d.y};
            x.x.set_pair(r, k, c.x, c.y);
            c = S::times(c, y.decay[u]);
            if (d_g) x.g.set_pair(r, k, c.x * y.x[u].x, c.y * y.x[u].y);
        }
        if (segment == 0) next[k] = c.x, next[k + 1] = c.y;
    }

    static TILE_FN void step(Shared& s, Stage& x, const Args& a, const Place& at, int chunk) {
        typename S::Items items;
        items.for_each([&](Item& y, int item) { sum_up(y, x, s, item); });
        barrier();
        const int parity = chunk & 1;
        items.for_each([&](Item& y, int item) { finish(y, x, s, a.d_g, item, s.carry[parity], s.carry[parity ^ 1]); });
        barrier();
        const long long to = S::element(a, at, chunk);
        const int rows = S::count(at, chunk);
        if (a.d_x) store_global<WARPS>(a.d_x + to, a.D, x.x, rows, at.width);
        if (a.d_g) store_global<WARPS>(a.d_g + to, a.D, x.g, rows, at.width);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = S::place(a);
        const int n = (int)((at.length + C - 1) / C);
        S::begin(s.carry[(n & 1) ^ 1], a.d_ht, at, a, a.backs, at.tail - 1, at.piece);
        for (int c = n + STAGES - 2; c >= 0; c--) {
            const int next = c - (STAGES - 1);
            if (next >= 0) fetch(s.stage[next % STAGES], a, at, next);
            commit();
            if (STAGES > 1 && c >= n) continue;
            wait<STAGES - 1>();
            barrier();
            step(s, s.stage[c % STAGES], a, at, c);
            barrier();
        }
        barrier();
        if (at.piece == at.lead) S::end(a.d_h0, s.carry[1], at);
    }
};

// What each piece does to the state that enters it, and to the gradient that enters it from behind.
template <class T, int C, int K, int V>
struct HgrnPieces : Scan<T, C, K, V> {
    using S = Scan<T, C, K, V>;
    using Args = typename S::Args;
    using Two = typename S::Two;
    using Place = typename S::Place;
    using S::STAGES, S::WARPS;
    struct Stage {
        Tile<T, C, K> x, g, d_o;
    };
    struct Sum {
        Two decay, end, back;
    };
    struct Shared {
        Stage stage[STAGES];
        Sum segment[S::SEGMENTS][K / 2], piece[K / 2];
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int chunk) {
        const long long from = S::element(a, at, chunk);
        const int rows = S::count(at, chunk);
        load_async<WARPS>(x.g, a.g + from, a.D, rows, at.width);
        if (a.ends) load_async<WARPS>(x.x, a.x + from, a.D, rows, at.width);
        if (a.backs && a.d_o) load_async<WARPS>(x.d_o, a.d_o + from, a.D, rows, at.width);
    }

    static TILE_FN Sum nothing() { return {{1, 1}, {0, 0}, {0, 0}}; }
    // x, and then y
    static TILE_FN Sum append(const Sum& x, const Sum& y) {
        return {S::times(x.decay, y.decay), S::join(y.decay, x.end, y.end), S::join(x.decay, y.back, x.back)};
    }

    static TILE_FN void step(Shared& s, const Stage& x, const Args& a) {
        const bool ends = a.ends, backs = a.backs && a.d_o;
        for_each_index<WARPS, S::ITEMS>([&](int item) {
            const int c = S::channel(item), segment = S::segment(item);
            Sum sum = nothing();
            TILE_UNROLL
            for (int r = segment * V; r < segment * V + V; r++) {
                const Two decay = S::decays(S::two(x.g, r, c));
                const Two in = ends ? S::two(x.x, r, c) : Two{0, 0}, out = backs ? S::two(x.d_o, r, c) : Two{0, 0};
                sum = append(sum, {decay, in, S::times(decay, out)});
            }
            s.segment[segment][c / 2] = sum;
        });
        barrier();
        for_each_index<WARPS, K / 2>([&](int c) {
            Sum sum = s.segment[0][c];
            TILE_UNROLL
            for (int i = 1; i < S::SEGMENTS; i++) sum = append(sum, s.segment[i][c]);
            s.piece[c] = append(sum, s.piece[c]);
        });
    }

    static TILE_FN void put(float* to, Two Sum::* of, const Sum (&piece)[K / 2], const Place& at, int D) {
        if (!to) return;
        for_each_index<WARPS, K>([&](int k) {
            const Two& x = piece[k / 2].*of;
            if (k < at.width) to[(long long)at.piece * D + at.first + k] = k % 2 ? x.y : x.x;
        });
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = S::place(a);
        const int n = (int)((at.length + C - 1) / C);
        for_each_index<WARPS, K / 2>([&](int c) { s.piece[c] = nothing(); });
        // from the end, so that a cache still holds the beginning when the forward pass begins there
        for (int c = n + STAGES - 2; c >= 0; c--) {
            const int next = c - (STAGES - 1);
            if (next >= 0) fetch(s.stage[next % STAGES], a, at, next);
            commit();
            if (STAGES > 1 && c >= n) continue;
            wait<STAGES - 1>();
            barrier();
            step(s, s.stage[c % STAGES], a);
            barrier();
        }
        barrier();
        put(a.decays, &Sum::decay, s.piece, at, a.D);
        put(a.ends, &Sum::end, s.piece, at, a.D);
        put(a.backs, &Sum::back, s.piece, at, a.D);
    }
};

// Sequences of one token, or of none.
template <class T, int C, int K, int V>
struct HgrnStep {
    using Args = hgrn::Args<T>;
    static constexpr int THREADS = 256, WARPS = THREADS / TILE_LANES, MIN_BLOCKS = 1, EACH = 16 / sizeof(T);
    struct Shared {
        float unused;
    };

    template <bool WIDE>
    static TILE_FN void step(const Args& a, int n, int c) {
        const int left = a.D - c;
        const long long row = a.offsets[n], token = row * a.D + c, state = (long long)n * a.D + c;
        float h[EACH] = {};
        if (a.h0) read_floats<WIDE>(h, a.h0 + state, left);
        if (row < a.offsets[n + 1]) {
            float x[EACH], g[EACH];
            read_floats<WIDE>(x, a.x + token, left);
            read_floats<WIDE>(g, a.g + token, left);
            TILE_UNROLL
            for (int e = 0; e < EACH; e++) h[e] = fused(exp<float>(g[e]), h[e], x[e]);
            if (a.o) write_floats<WIDE>(a.o + token, left, h);
        }
        if (a.ht) write_floats<WIDE>(a.ht + state, left, h);
    }

    static TILE_FN void run(Shared&, const Args& a) {
        const int n = block_id() / a.slices, first = block_id() % a.slices * (THREADS * EACH);
        for_each_index<WARPS, THREADS>([&](int i) {
            const int c = first + i * EACH;
            if (c >= a.D) return;
            if (wide_rows(a.D, EACH))
                step<true>(a, n, c);
            else
                step<false>(a, n, c);
        });
    }
};

}  // namespace hgrn

using hgrn::HgrnBackward;
using hgrn::HgrnForward;
using hgrn::HgrnPieces;
using hgrn::HgrnStep;
