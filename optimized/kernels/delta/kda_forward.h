// The forward pass of kda in one kernel, for 16-bit operands and machines with room in shared memory:
//   KdaFused, then KdaFusedLate   grid N * HV * slices, no workspace
//   KdaKept    the same, and leaves states, residuals w, X and P for the backward pass
//   KdaPieces  grid P * HV * (slices + 1), as GatedDeltaPieces
//          or  grid P * HV * directions, without maps: windows whose map leaves more of a state than 2^-26 are taken back
// A block's warps have two roles: the pairs' role turns gates, keys and queries of chunks ahead into what the state's role
// multiplies with, while the state passes through the present one. Where there is room for one more chunk, half of the
// pairs' role folds the gates of one into its operands while the other half makes the pairs and the inverse of the one
// before, so that neither waits for what the other has behind one another. Nothing of it leaves the chip.
//
// Pairs within a block of 16 tokens are a product of operands relative to the block's beginning: with G_ic the sum of
// channel c's gates from there to token i, exp(G) goes into what reads and exp(-G) into what is read. The latter grows:
// tokens' channels with G < -reach are left out of the product (they are late), and added pair by pair. Pairs of two blocks
// meet at the boundary between them, with factors that are no more than 1. Nothing depends on a later token's gate.
//
// Late tokens are rare, and code for them that never runs costs a fifteenth of KdaFused's time, which instructions take up.
// So it has none: a block that meets one gives up and says so, and KdaFusedLate begins it anew.
#pragma once

#if !defined(TILE_HIP)
namespace kda {

template <class T>
struct FusedArgs {
    const T *q, *k, *v;     // [R, H, K] twice, [R, HV, V]
    const float *g, *beta;  // [R, HV, K], [R, HV]
    const float* h0;        // [N, HV, K, V] or null
    T* o;                   // [R, HV, V]
    float* ht;              // [N, HV, K, V] or null
    // Kept only, null in Fused; o may be null then
    T *states, *w;          // [total, HV, V, K] before every chunk, K the template's; [R, HV, V]
    T *inverse, *scores;    // [total, HV, C, C]: X and P
    bf16* maps;             // [P, HV, 2, K, K], Pieces only: high and low as in pieces.cu
    const long long *offsets, *chunks;
    // as in FusedArgs of gated_delta_rule_forward.h
    const int* owners;
    const long long* firsts;
    // part.h; the second of Pieces only, and the first again where nothing comes back
    long long* windows;
    const long long* windows_back;
    long long* late;        // [blocks], of KdaFused: which of them are KdaFusedLate's
    int H, HV, K, V;
    int entering, behind;  // behind, without maps: P
    float scale;
};
static_assert(sizeof(FusedArgs<bf16>) == 20 * 8 + 8 * 4, "twin of FusedArgs");

template <class T, int C, int K, int V, delta::Leaves LEAVES, bool LATE = true>
struct FusedPass {
    using Args = FusedArgs<T>;
    static constexpr bool KEEPS = LEAVES == delta::STATES, PIECES = LEAVES == delta::MAPS;
    // whether another kernel was there before
    static constexpr bool AGAIN = LEAVES == delta::NOTHING && LATE;
    // of narrow heads two blocks run beside each other, and do what one does ahead
    static constexpr bool NARROW = K <= 64;
    static constexpr int STATE_WARPS = V / 16, PAIR_WARPS = NARROW ? 4 : 8, WARPS = STATE_WARPS + PAIR_WARPS;
    static constexpr int MIN_BLOCKS = NARROW ? 2 : 1;
    // A thread of the pairs' role walks STRAND tokens of two channels, some together: more would be faster by themselves,
    // but the code of all roles has to stay in the instruction caches. A block of pairs is BLOCK tokens wide.
    static constexpr int STRAND = 8, TOGETHER = 4, STRANDS = C / STRAND, BLOCK = 16, BLOCKS = C / BLOCK;
    static_assert(BLOCKS == 2 && STRANDS == 4, "two blocks of two strands");
    // what is late by one of two ways to sum the same gates is nearly late by the other
    static constexpr float NONE = 1.f / (1 << 26);
    static constexpr float REACH = channels::REACH_OF_TWO<T>, NEARLY_LATE = -REACH * (1 - 1e-5f);
    // what pairs are products of
    struct Operands {
        Tile<T, C + BLOCK, K> is_read;  // exp(-G) k; then k of the first block decayed to its end
        Tile<T, 2 * BLOCK, K> reads;    // of the second block exp(G) k, then exp(G) q; of the first they are in kq
    };
    // gates of whole strands while operands are made; then what late channels add, within blocks: to the scores on and below
    // the diagonal, to the system above it, transposed
    union Sums {
        Two total[STRANDS][K / 2];
        Tile<float, C, BLOCK> late;
    };
    // diag(beta) X (X where it is kept), P
    struct Squares {
        Tile<T, C, C> inverse, scores;
    };
    struct Nothing {};
    // rings: of what is loaded, folded and read; AHEAD chunks are folded ahead of the one whose pairs are made
    template <int AHEAD>
    struct Memory {
        Tile<T, 2 * C, K> kq[AHEAD + 3];     // k, then q; when folded E k and scale E q
        Tile<T, C, K> written[AHEAD + 2];    // F k
        Tile<T, C, V> v[2];                  // and o after it
        Tile<float, C, K> g[2];
        Operands operands[AHEAD + 1];
        Squares squares[2];
        Tile<float, C, C> system;
        Sums sums[AHEAD + 1];
        typename Choose<KEEPS, Tile<T, V, K>, Nothing>::type state;
        float whole[AHEAD + 2][K], beta[AHEAD + 3][C];
        float left[2][STATE_WARPS];          // how much of a map is left
        int late_channels[AHEAD + 1];        // whether there are any
        int met;                             // without LATE: the step that met some
    };
    static constexpr int AHEAD = !NARROW && sizeof(Memory<1>) <= TILE_SHARED_MOST ? 1 : 0;
    using Shared = Memory<AHEAD>;
    template <class X, int N>
    static TILE_FN X& of(X (&ring)[N], int chunk) {
        return ring[chunk % N];
    }
    using State = Acc<V, K, STATE_WARPS>;  // transposed, as in the other sweeps
    using Values = Acc<V, C, STATE_WARPS>;

    struct Place {
        Part part;
        long long row, length, state, first;
        int hv, hk, v0, steps, window;  // steps in all, of which those of the window come first

        // the number of a chunk among all of all heads
        TILE_FN long long kept(const Args& a, int step) const { return (first + step) * a.HV + hv; }
    };
    // whether windows are asked about, by the block of each cut
    static TILE_FN bool asks(const Args& a) { return PIECES && !a.maps; }
    static TILE_FN Place window(const Args& a) {
        const int hv = block_id() % a.HV, piece = block_id() / a.HV % a.behind, back = block_id() / a.HV / a.behind;
        const long long length = a.windows[block_id()], here = a.offsets[piece];
        return {{}, back ? here : here - length, length, 0, 0, hv, hv / (a.HV / a.H), a.V, (int)length / C, 0};
    }
    static TILE_FN Place place(const Args& a) {
        if (asks(a)) return window(a);
        const int slices = (a.V + V - 1) / V + (PIECES ? 1 : 0);
        const int head = block_id() / slices, v0 = block_id() % slices * V, hv = head % a.HV;
        const Part x = part<false>(a, head / a.HV, a.HV, hv, 0);
        const long long row = x.from(a.offsets), length = x.to(a.offsets) - row, first = a.chunks[x.first];
        const long long state = ((long long)x.entry * a.HV + hv) * a.K * a.V + v0;
        const int steps = (int)((length + C - 1) / C), window = x.before / C;
        return {x, row, length, state, first - window, hv, hv / (a.HV / a.H), v0, steps, window};
    }
    // the block behind those of the values
    static TILE_FN bool maps(const Args& a, const Place& at) { return PIECES && at.v0 >= a.V; }
    // whether nothing was left of a map some steps before: nothing will be
    static TILE_FN bool vanished(const Shared& s, const Args& a, const Place& at, int c) {
        return maps(a, at) && delta::none(s.left, c);
    }
    static TILE_FN Span span(const Place& at, int step) {
        const long long first = (long long)step * C, left = at.length - first;
        return {at.row + first, left < C ? (int)left : C};
    }
    // how much of something is given away of a step: nothing of the window
    static TILE_FN int given(const Place& at, int step, int all) { return step < at.window ? 0 : all; }

    // chunk by chunk, by W warps
    template <int W>
    struct PairMaker {
        Shared& s;
        const Args& a;
        const Place& at;
        static constexpr int ITEMS = K / 2 * STRANDS;

        // f(strand, channel) of the strands of two channels each, one after the other
        template <class F>
        static TILE_FN void for_each_strand(F f) {
            for_each_rolled<W>(ITEMS, [&](int n) { f(n / (K / 2), n % (K / 2) * 2); });
        }
        // sums of a strand's gates up to each of its tokens, on from `sum`
        struct Strand {
            Two G[STRAND];
        };
        TILE_FN Strand sums(Tile<float, C, K>& g, int strand, int c, Two sum) {
            const auto read = strip(g, strand * STRAND, c);
            Strand y;
            TILE_UNROLL
            for (int n = 0; n < STRAND; n++) y.G[n] = sum = sum + channels::of_two(get(read, n));
            return y;
        }
        // what a strand's block has before it
        static TILE_FN Two before(const Sums& y, int strand, int c) {
            return strand % 2 ? y.total[strand - 1][c / 2] : Two{0, 0};
        }
        static TILE_FN Two decay(const Two& x) { return {channels::power(x.x), channels::power(x.y)}; }
        static TILE_FN Two rise(const Two& G) { return {channels::upward<T>(G.x), channels::upward<T>(G.y)}; }

        // what the state and the pairs of a chunk are products of
        TILE_FN void fold(int chunk) {
            Tile<T, 2 * C, K>& kq = of(s.kq, chunk);
            Tile<T, C, K>& written = of(s.written, chunk);
            Tile<float, C, K>& g = of(s.g, chunk);
            Operands& x = of(s.operands, chunk);
            Sums& y = of(s.sums, chunk);
            float(&whole)[K] = of(s.whole, chunk);
            int& late_channels = of(s.late_channels, chunk);
            for_each_strand([&](int strand, int c) {
                y.total[strand][c / 2] = sums(g, strand, c, {0, 0}).G[STRAND - 1];
            });
            if constexpr (LATE) for_each_index<W, 1>([&](int) { late_channels = 0; });
            group_barrier<W>();
            for_each_index<W, K * BLOCKS / 2>([&](int n) {
                const int b = n / (K / 2), c = n % (K / 2);
                const Two end = y.total[2 * b][c] + y.total[2 * b + 1][c];
                if (end.x >= NEARLY_LATE && end.y >= NEARLY_LATE) return;
                if constexpr (LATE)
                    late_channels = 1;
                else
                    s.met = chunk - 1;
            });
            bool some = false;
            if constexpr (LATE) {
                group_barrier<W>();
                some = late_channels;
            }
            for_each_strand([&](int strand, int c) {
                const int first = strand * STRAND;
                const bool second = strand >= STRANDS / 2;
                const Two ends[2] = {y.total[0][c / 2] + y.total[1][c / 2], y.total[2][c / 2] + y.total[3][c / 2]};
                // what is before a block and behind it, and in it
                const Two one = {1, 1}, from = second ? decay(ends[0]) : one, rest = second ? one : decay(ends[1]);
                const Two end = second ? ends[1] : ends[0], from_q = from * a.scale;
                auto gates = strip(g, first, c);
                auto keys = strip(kq, first, c);
                auto ends_k = strip(written, first, c);
                auto is_read = strip(x.is_read, first, c);
                auto reads = strip(x.reads, first - BLOCK, c);
                Two sum = before(y, strand, c);
                TILE_ROLL
                for (int i = 0; i < STRAND; i += TOGETHER) {
                    // all is read before anything is written: what comes next would wait, as nobody knows it to be another
                    Two G[TOGETHER], k[TOGETHER], q[TOGETHER];
                    TILE_UNROLL
                    for (int n = 0; n < TOGETHER; n++) {
                        G[n] = sum = sum + channels::of_two(get(gates, n));
                        k[n] = get(keys, n);
                        if constexpr (!PIECES) q[n] = get(keys, C + n);
                    }
                    TILE_UNROLL
                    for (int n = 0; n < TOGETHER; n++) {
                        const Two down = decay(G[n]), near_k = k[n] * down, to_end = k[n] * decay(end - G[n]);
                        put(is_read, n, k[n] * rise(G[n]));
                        put(ends_k, n, to_end * rest);
                        put(keys, n, near_k * from);
                        if (second)
                            put(reads, n, near_k);
                        else
                            put(is_read, C + n, to_end);
                        if constexpr (PIECES) continue;
                        const Two near_q = q[n] * down;
                        put(keys, C + n, near_q * from_q);
                        if (second) put(reads, BLOCK + n, near_q);
                    }
                    gates = next(gates), keys = next(keys), ends_k = next(ends_k);
                    is_read = next(is_read), reads = next(reads);
                }
                if (strand) return;
                const Two natural = (ends[0] + ends[1]) * (1 / channels::OF_TWO);
                whole[c] = exp<float>(natural.x), whole[c + 1] = exp<float>(natural.y);
            });
            if (some) late(g, y, chunk);
        }

        // Late channels, pair by pair; rare, and apart, so that the loops do not weigh on the common case. Their sums take
        // the gates' place.
        TILE_FN void late(Tile<float, C, K>& g, Sums& y, int chunk) {
            group_barrier<W>();
            for_each_strand([&](int strand, int c) {
                const Strand gates = sums(g, strand, c, before(y, strand, c));
                for (int n = 0; n < STRAND; n++) put(g, strand * STRAND + n, c, gates.G[n]);
            });
            group_barrier<W>();
            const Span here = span(at, chunk);
            const long long ld = (long long)a.H * a.K, first = here.row * ld + (long long)at.hk * a.K;
            for_each_rolled<W>(BLOCKS * BLOCK * BLOCK, [&](int n) {
                const int i = n / BLOCK, begin = i / BLOCK * BLOCK, j = begin + n % BLOCK;
                if (j > i) return;
                float p = 0, l = 0;
                TILE_ROLL
                for (int c = 0; c < a.K && i < here.count; c++) {
                    const float from = g.at(j, c);
                    if (from >= -REACH) continue;
                    const float k = to_float(a.k[first + j * ld + c]) * channels::power(g.at(i, c) - from);
                    p = fused(to_float(a.q[first + i * ld + c]), k, p);
                    l = fused(to_float(a.k[first + i * ld + c]), k, l);
                }
                y.late.set(i, j - begin, a.scale * p);
                if (j < i) y.late.set(j, i - begin, l);
            });
        }

        // two blocks on the diagonal and one below it, of the system (keys) and of scores
        TILE_FN void square(int chunk, int b, bool keys) {
            Operands& x = of(s.operands, chunk);
            const auto& first = rows<BLOCK>(of(s.kq, chunk), keys ? 0 : BLOCKS);
            const auto& second = rows<BLOCK>(x.reads, keys ? 0 : 1);
            const auto& is_read = rows<BLOCK>(x.is_read, b);
            Acc<BLOCK, BLOCK, 1> p;
            p.fill(0);
            if (b == 0)
                mma(p, first, t(is_read));
            else
                mma(p, second, t(is_read));
            const int row = b > 0 ? BLOCK : 0, col = b == 1 ? BLOCK : 0;
            const int above = b < BLOCKS ? (keys ? 1 : 0) : -BLOCK;  // what lies on or above it is zero
            const float scale = keys || b == 0 ? 1.f : a.scale;
            p.for_each([&](float& z, int i, int j) { z = i < j + above ? 0.f : scale * z; });
            if (LATE && b < BLOCKS && of(s.late_channels, chunk)) add_late(p, of(s.sums, chunk).late, row, keys);
            const float(&beta)[C] = of(s.beta, chunk);
            Tile<T, C, C>& scores = of(s.squares, chunk).scores;
            if (keys)
                p.for_each_pair([&](float& z, float& y, int i, int j) {
                    s.system.set_pair(row + i, col + j, z * beta[col + j], y * beta[col + j + 1]);
                });
            else
                p.for_each_pair([&](float& z, float& y, int i, int j) { scores.set_pair(row + i, col + j, z, y); });
        }
        TILE_FN void add_late(Acc<BLOCK, BLOCK, 1>& p, const Tile<float, C, BLOCK>& late, int first, bool keys) {
            p.for_each([&](float& z, int i, int j) {
                if (keys ? j < i : j <= i) z += keys ? late.at(first + j, i) : late.at(first + i, j);
            });
        }

        TILE_FN void pairs(int chunk) {
            Squares& y = of(s.squares, chunk);
            const float(&beta)[C] = of(s.beta, chunk);
            // A warp for each square, those of the system first; the first warp then begins with its inverse while others
            // make what is left. In one loop, so that the code of squares is there once.
            TILE_ROLL
            for (int round = 0; round < 2; round++) {
                groups<W, W>([&](int g) {
                    const int n = round ? g + W - 1 : g, b = n % (BLOCKS + 1);
                    const bool keys = n <= BLOCKS;
                    if ((round && g == 0) || n >= 2 * (BLOCKS + 1) || (PIECES && !keys)) return;
                    square(chunk, b, keys);
                });
                if (round) delta::invert_blocks<W>(s.system);
                group_barrier<W>();
            }
            delta::join_inverses<W>(y.inverse, s.system, [&](float z, int i) { return KEEPS ? z : z * beta[i]; });
            if constexpr (KEEPS) {
                const long long square = at.kept(a, chunk) * C * C;
                group_barrier<W>();
                store_global<W>(a.inverse + square, C, y.inverse, given(at, chunk, C), C);
                store_global<W>(a.scores + square, C, y.scores, given(at, chunk, C), C);
            }
        }
    };

    struct PairRole {
        Shared& s;
        const Args& a;
        const Place& at;
        static constexpr int W = PAIR_WARPS;

        // chunk n + 1 in step n
        TILE_FN void fold(int chunk) {
            if (chunk < at.steps) PairMaker<W / (AHEAD + 1)>{s, a, at}.fold(chunk);
        }
        TILE_FN void pairs(int chunk) {
            if (chunk < at.steps) PairMaker<W / (AHEAD + 1)>{s, a, at}.pairs(chunk);
        }
        TILE_FN void begin() {
            for_each_index<W, 1>([&](int) { s.met = sequence::NOT_YET; });
            for (int i = 0; i < 2; i++) fill<W>(s.squares[i].scores, 0);
        }
        TILE_FN void ready() {
            if (AHEAD == 0) return both(0);
            groups<W, 2>([&](int g) {
                if (g) fold(0);
            });
        }
        // while the state passes through chunk c
        TILE_FN void step(int n) {
            const int c = n - AHEAD;
            if (vanished(s, a, at, c)) return;
            if (AHEAD == 0) return both(c + 1);
            groups<W, 2>([&](int g) { g ? fold(c + 2) : pairs(c + 1); });
        }
        TILE_FN void both(int chunk) {
            fold(chunk);
            group_barrier<W>();
            pairs(chunk);
        }
        TILE_FN void end() {}
    };

    struct StateRole {
        static constexpr bool QUIET = true;
        Shared& s;
        const Args& a;
        const Place& at;
        State S;

        TILE_FN void fetch_keys(int step) {
            if (step >= at.steps) return;
            const Span here = span(at, step);
            const long long ldk = (long long)a.H * a.K, key = here.row * ldk + (long long)at.hk * a.K;
            const long long head = here.row * a.HV + at.hv;
            Tile<T, 2 * C, K>& kq = of(s.kq, step);
            load_async<STATE_WARPS>(rows<C>(kq, 0), a.k + key, ldk, here.count, a.K);
            if constexpr (!PIECES) load_async<STATE_WARPS>(rows<C>(kq, 1), a.q + key, ldk, here.count, a.K);
            load_async<STATE_WARPS>(of(s.g, step), a.g + head * a.K, (long long)a.HV * a.K, here.count, a.K);
            load_async<STATE_WARPS>(of(s.beta, step), a.beta + head, a.HV, here.count);
        }
        TILE_FN void fetch_values(int step) {
            if (step >= at.steps) return;
            const Span here = span(at, step);
            const long long head = here.row * a.HV + at.hv;
            load_async<STATE_WARPS>(of(s.v, step), a.v + head * a.V + at.v0, (long long)a.HV * a.V, here.count,
                                    a.V - at.v0);
        }

        // o^T = S^T (scale E q)^T + u^T P^T,  u^T = (v^T - S^T (E k)^T) (X diag(beta))^T
        TILE_FN void chunk(int step) {
            Tile<T, 2 * C, K>& kq = of(s.kq, step);
            Tile<T, C, V>& v = of(s.v, step);
            Squares& y = of(s.squares, step);
            const float(&whole)[K] = of(s.whole, step);
            const Span here = span(at, step);
            const long long value = (here.row * a.HV + at.hv) * a.V + at.v0;
            const int given = FusedPass::given(at, step, here.count);
            if constexpr (KEEPS)
                store_global(a.states + (at.kept(a, step) * a.V + at.v0) * K, K, s.state, S, FusedPass::given(at, step, a.V - at.v0), K);
            Values r, o, u;
            r.fill(0);
            o.fill(0);
            u.fill(0);
            auto before = operand<T>(S);
            prepare(before, r, o);
            auto&& keys = rows<C>(kq, 0);
            if constexpr (PIECES)
                issue(r, before, t(keys));
            else
                issue_halves(r, o, before, t(kq));
            settle(before, r, o);
            zip(r, t(v), [](float& z, float given, int, int) { z = given - z; });
            Reg<T, V, C, STATE_WARPS> left;
            left.round(r);
            prepare(left, u);
            issue(u, left, t(y.inverse));
            S.for_each([&](float& z, int, int c) { z *= whole[c]; });
            settle(left, u);
            if constexpr (KEEPS) {
                store_global(a.w + value, (long long)a.HV * a.V, t(v), u, given, a.V - at.v0);
                const float(&beta)[C] = of(s.beta, step);
                u.for_each([&](float& z, int, int i) { z *= beta[i]; });
            }
            left.round(u);
            if constexpr (PIECES) {
                prepare(left, S);
            } else {
                prepare(left, o, S);
                issue(o, left, t(y.scores));
            }
            issue(S, left, of(s.written, step));
            if constexpr (!PIECES) {
                settle_but_last(o);
                if (!KEEPS || a.o)
                    store_global(a.o + value, (long long)a.HV * a.V, t(v), o, given, a.V - at.v0);
            }
            settle(left, S);
        }

        TILE_FN void begin() {
            const bool map = maps(a, at);
            if (PIECES)
                S.for_each([&](float& z, int v, int k) { z = map && v == k ? 1.f : 0.f; });
            else if (a.h0 && at.part.enters)
                load(S, a.h0 + at.state, 1, a.V, a.V - at.v0, a.K);
            else
                S.fill(0);
            fetch_keys(0);
            if (AHEAD == 0) fetch_values(0);
            commit();
            fetch_keys(1);
            commit();
            wait<1>();
        }
        TILE_FN void ready() { wait<0>(); }
        TILE_FN void step(int n) {
            const int c = n - AHEAD;
            if (!vanished(s, a, at, c)) {
                fetch_keys(c + 2 + AHEAD);
                fetch_values(c + 1);
                commit();
                if (c >= 0) chunk(c);
                wait<0>();
            }
            if (maps(a, at)) delta::measure(s.left, S, c);
        }
        // takes the window back, unless nothing is left of what was before it, or behind it
        TILE_FN void judge() {
            float share = 0;
            S.for_each([&](float& z, int, int) { share += z * z; });
            warp_sums<STATE_WARPS>(s.left[0], share);
            group_barrier<STATE_WARPS>();
            float sum = 0;
            TILE_UNROLL
            for (int w = 0; w < STATE_WARPS; w++) sum += s.left[0][w];
            const bool none = sum <= NONE * NONE;
            for_each_index<STATE_WARPS, 1>([&](int) {
                if (!none) a.windows[block_id()] = 0;
            });
        }
        TILE_FN void end() {
            const long long size = (long long)a.K * a.V;
            if constexpr (!LATE) {
                const bool met = s.met < sequence::NOT_YET;
                for_each_index<STATE_WARPS, 1>([&](int) { a.late[block_id()] = met; });
                if (met) return;
            }
            if (asks(a)) return judge();
            if (maps(a, at)) return delta::give(a.maps + at.state / size * 2 * a.K * a.K, S, a.K);
            const long long to = PIECES ? at.state : ((long long)at.part.sequence * a.HV + at.hv) * size + at.v0;
            if (a.ht && (PIECES || at.part.ends)) store_global(a.ht + to, 1, a.V, S, a.V - at.v0, a.K);
        }
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = place(a);
        if (AGAIN && !a.late[block_id()]) return;
        if (asks(a) && at.steps == 0) return;
        if (!asks(a) && (PIECES ? !delta::wanted(a, at.part.first, at.hv, maps(a, at)) : at.part.idle)) return;
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        const auto given_up = [&s](int n) { return !LATE && s.met < n; };
        lockstep<STATE_WARPS, PAIR_WARPS, LATE ? 152 : 144>(at.steps + AHEAD, state, pair, given_up);
    }
};

template <class T, int C, int K, int V>
struct KdaFused : FusedPass<T, C, K, V, delta::NOTHING, false> {};
template <class T, int C, int K, int V>
struct KdaFusedLate : FusedPass<T, C, K, V, delta::NOTHING> {};
template <class T, int C, int K, int V>
struct KdaKept : FusedPass<T, C, K, V, delta::STATES> {};
template <class T, int C, int K, int V>
struct KdaPieces : FusedPass<T, C, K, V, delta::MAPS> {};

}  // namespace kda

using kda::KdaFused;
using kda::KdaFusedLate;
using kda::KdaKept;
using kda::KdaPieces;
#endif
