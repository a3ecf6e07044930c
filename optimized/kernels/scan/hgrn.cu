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
#include "hgrn_pieces.h"
#include "hgrn_step.h"

namespace hgrn {

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

}  // namespace hgrn

using hgrn::HgrnBackward;
using hgrn::HgrnForward;
using hgrn::HgrnPieces;
using hgrn::HgrnStep;
