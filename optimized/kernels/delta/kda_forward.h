// The forward pass of kda in one kernel, for 16-bit operands and machines with room in shared memory:
//   KdaFused   grid N * HV * slices, no workspace
//   KdaKept    the same, and leaves states, residuals w, X and P for the backward pass
//   KdaPieces  grid P * HV * (slices + 1), as GatedDeltaPieces
// A block's warps have two roles, a chunk apart: the pairs' role turns gates, keys and queries of the next chunk into what
// the state's role multiplies with, while the state passes through the present one. Nothing of it leaves the chip.
//
// Pairs within a block of 16 tokens are a product of operands relative to the block's beginning: with G_ic the sum of
// channel c's gates from there to token i, exp(G) goes into what reads and exp(-G) into what is read. The latter grows:
// tokens' channels with G < -reach are left out of the product (they are late), and added pair by pair. Pairs of two blocks
// meet at the boundary between them, with factors that are no more than 1. Nothing depends on a later token's gate.
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
    int H, HV, K, V;
    int behind;
    float scale;
};
static_assert(sizeof(FusedArgs<bf16>) == 17 * 8 + 6 * 4, "twin of FusedArgs");

template <class T, int C, int K, int V, delta::Leaves LEAVES>
struct FusedPass {
    using Args = FusedArgs<T>;
    static constexpr bool KEEPS = LEAVES == delta::STATES, PIECES = LEAVES == delta::MAPS;
    static constexpr int STATE_WARPS = V / 16, PAIR_WARPS = 8, WARPS = STATE_WARPS + PAIR_WARPS, MIN_BLOCKS = 1;
    // a thread of the pairs' role walks STRAND tokens of two channels; a block of pairs is BLOCK tokens wide
    static constexpr int STRAND = 8, STRANDS = C / STRAND, BLOCK = 16, BLOCKS = C / BLOCK;
    static_assert(BLOCKS == 2 && STRANDS == 4, "two blocks of two strands");
    static constexpr float REACH = channels::REACH_OF_TWO<T>;
    struct Gates {
        Tile<float, C, K> g;
        float beta[C];
    };
    // what pairs are products of
    struct Operands {
        Tile<T, C, K> rise;              // exp(-G) k
        Tile<T, BLOCK, K> far;           // of the first block: k decayed to its end
        Tile<T, 2 * BLOCK, K> near;      // of the second block: exp(G) k, then scale exp(G) q; of the first they are in kq
    };
    // diag(beta) X (X where it is kept), P, F k, R
    struct Ready {
        Tile<T, C, K> written;
        Tile<T, C, C> inverse, scores;
        float whole[K], beta[C];
    };
    struct Nothing {};
    struct Shared {
        Tile<T, 2 * C, K> kq[3];  // k, then q; when ready E k and scale E q
        Tile<T, C, V> v[2];       // and o after it
        Gates gates[2];
        Ready ready[2];
        Operands pairs;
        Tile<float, C, C> system, late, late_system;  // what late channels add to the scores and to the system
        typename Choose<KEEPS, Tile<T, V, K>, Nothing>::type state;
        Two total[STRANDS][K / 2];       // gates of whole strands
        float left[2][STATE_WARPS];      // how much of a map is left
        int late_channels;               // whether there are any
    };
    using State = Acc<V, K, STATE_WARPS>;  // transposed, as in the other sweeps
    using Values = Acc<V, C, STATE_WARPS>;

    struct Place {
        long long row, length, state;
        int hv, hk, v0, steps, n;

        // the number of a chunk among all of all heads
        TILE_FN long long kept(const Args& a, int step) const { return (a.chunks[n] + step) * a.HV + hv; }
    };
    static TILE_FN Place place(const Args& a) {
        const int slices = (a.V + V - 1) / V + (PIECES ? 1 : 0);
        const int head = block_id() / slices, v0 = block_id() % slices * V, n = head / a.HV, hv = head % a.HV;
        const long long row = a.offsets[n], length = a.offsets[n + 1] - row;
        return {row, length, (long long)head * a.K * a.V + v0, hv, hv / (a.HV / a.H), v0, (int)((length + C - 1) / C), n};
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

    struct PairRole {
        Shared& s;
        const Args& a;
        const Place& at;
        static constexpr int W = PAIR_WARPS, ITEMS = K / 2 * STRANDS;
        static constexpr int OWNED = ITEMS > W * 32 ? ITEMS : W * 32;
        // sums of gates from the strand's beginning
        struct Strand {
            Two G[STRAND];
        };

        template <class F>
        static TILE_FN void for_each_strand(Own<Strand, OWNED, W>& strands, F f) {
            strands.for_each([&](Strand& x, int n) {
                if (ITEMS == OWNED || n < ITEMS) f(x.G, n / (K / 2), n % (K / 2) * 2);
            });
        }
        static TILE_FN void sums(Two (&G)[STRAND], const Tile<float, C, K>& g, int first, int c) {
            Two sum = {0, 0};
            TILE_UNROLL
            for (int i = 0; i < STRAND; i++) {
                G[i] = sum = sum + channels::of_two(get(g, first + i, c));
            }
        }
        static TILE_FN Two decay(const Two& x) { return {channels::power(x.x), channels::power(x.y)}; }
        static TILE_FN Two rise(const Two& G) { return {channels::upward<T>(G.x), channels::upward<T>(G.y)}; }

        // the first block: what reads is as the state wants it
        TILE_FN void first_block(const Two (&G)[STRAND], const Two& before, const Two& end, const Two& rest, int row, int c,
                                 Tile<T, 2 * C, K>& kq, Tile<T, C, K>& written) {
            Operands& x = s.pairs;
            TILE_UNROLL
            for (int i = 0; i < STRAND; i++) {
                const Two k = get(kq, row + i, c), sum = before + G[i];
                const Two down = decay(sum), to_end = k * decay(end - sum);
                put(x.rise, row + i, c, k * rise(sum));
                put(x.far, row + i, c, to_end);
                put(written, row + i, c, to_end * rest);
                put(kq, row + i, c, k * down);
                if constexpr (!PIECES) put(kq, C + row + i, c, get(kq, C + row + i, c) * (down * a.scale));
            }
        }
        TILE_FN void second_block(const Two (&G)[STRAND], const Two& before, const Two& end, const Two& from, int row, int c,
                                  Tile<T, 2 * C, K>& kq, Tile<T, C, K>& written) {
            Operands& x = s.pairs;
            TILE_UNROLL
            for (int i = 0; i < STRAND; i++) {
                const Two k = get(kq, row + i, c), sum = before + G[i];
                const Two down = decay(sum), near_k = k * down;
                put(x.rise, row + i, c, k * rise(sum));
                put(written, row + i, c, k * decay(end - sum));
                put(x.near, row - BLOCK + i, c, near_k);
                put(kq, row + i, c, near_k * from);
                if constexpr (!PIECES) {
                    const Two near_q = get(kq, C + row + i, c) * (down * a.scale);
                    put(x.near, row + i, c, near_q);
                    put(kq, C + row + i, c, near_q * from);
                }
            }
        }
        TILE_FN void strands(Tile<T, 2 * C, K>& kq, const Tile<float, C, K>& g, Ready& y) {
            Own<Strand, OWNED, W> strands;
            for_each_strand(strands, [&](Two(&G)[STRAND], int strand, int c) {
                sums(G, g, strand * STRAND, c);
                s.total[strand][c / 2] = G[STRAND - 1];
            });
            for_each_index<W, 1>([&](int) { s.late_channels = 0; });
            group_barrier<W>();
            for_each_strand(strands, [&](Two(&G)[STRAND], int strand, int c) {
                const bool odd = strand % 2, second = strand / 2;
                auto total = [&](int n) { return s.total[n][c / 2]; };
                const Two ends[2] = {total(0) + total(1), total(2) + total(3)};
                const Two before = odd ? total(strand - 1) : Two{0, 0};
                if (second)
                    second_block(G, before, ends[1], decay(ends[0]), strand * STRAND, c, kq, y.written);
                else
                    first_block(G, before, ends[0], decay(ends[1]), strand * STRAND, c, kq, y.written);
                if (odd) return;
                const Two end = second ? ends[1] : ends[0], all = ends[0] + ends[1];
                if (end.x < -REACH || end.y < -REACH) s.late_channels = 1;
                const Two natural = all * (1 / channels::OF_TWO);
                if (!second) y.whole[c] = exp<float>(natural.x), y.whole[c + 1] = exp<float>(natural.y);
            });
        }

        // Late channels, pair by pair; rare, and apart, so that the loops do not weigh on the common case. Their sums take
        // the gates' place.
        TILE_FN void late(Tile<float, C, K>& g, int step) {
            Own<Strand, OWNED, W> strands;
            for_each_strand(strands, [&](Two(&G)[STRAND], int strand, int c) {
                sums(G, g, strand * STRAND, c);
                const Two before = strand % 2 ? s.total[strand - 1][c / 2] : Two{0, 0};
                for (int i = 0; i < STRAND; i++) put(g, strand * STRAND + i, c, before + G[i]);
            });
            group_barrier<W>();
            const Span here = span(at, step);
            const long long ld = (long long)a.H * a.K, first = here.row * ld + (long long)at.hk * a.K;
            for_each_rolled<W>(BLOCKS * BLOCK * BLOCK, [&](int n) {
                const int i = n / BLOCK, j = i / BLOCK * BLOCK + n % BLOCK;
                float p = 0, l = 0;
                TILE_ROLL
                for (int c = 0; c < a.K && j <= i && i < here.count; c++) {
                    const float from = g.at(j, c);
                    if (from >= -REACH) continue;
                    const float k = to_float(a.k[first + j * ld + c]) * channels::power(g.at(i, c) - from);
                    p = fused(to_float(a.q[first + i * ld + c]), k, p);
                    l = fused(to_float(a.k[first + i * ld + c]), k, l);
                }
                s.late.set(i, j, a.scale * p);
                s.late_system.set(i, j, l);
            });
            group_barrier<W>();
        }

        // two blocks on the diagonal and one below it, of scores and of the system, a warp each
        TILE_FN void squares(Tile<T, 2 * C, K>& kq, Ready& y, const float (&beta)[C], bool late) {
            groups<W, W>([&](int g) {
                for (int n = g; n < 2 * (BLOCKS + 1); n += W)
                    if (!PIECES || n % 2) square(kq, y, beta, late, n / 2, n % 2);
            });
        }
        TILE_FN void square(Tile<T, 2 * C, K>& kq, Ready& y, const float (&beta)[C], bool late, int b, bool keys) {
            Operands& x = s.pairs;
            const auto& first = rows<BLOCK>(kq, keys ? 0 : BLOCKS);
            const auto& second = rows<BLOCK>(x.near, keys ? 0 : 1);
            const auto& near = rows<BLOCK>(x.rise, b % BLOCKS);
            const auto& far = rows<BLOCK>(x.far, 0);
            Acc<BLOCK, BLOCK, 1> p;
            p.fill(0);
            if (b == 0)
                mma(p, first, t(near));
            else if (b == 1)
                mma(p, second, t(near));
            else
                mma(p, second, t(far));
            const int row = b > 0 ? BLOCK : 0, col = b == 1 ? BLOCK : 0;
            const int above = b < BLOCKS ? (keys ? 1 : 0) : -BLOCK;  // what lies on or above it is zero
            p.for_each([&](float& z, int i, int j) { z = i < j + above ? 0.f : z; });
            if (late && b < BLOCKS) add_late(p, row, keys);
            if (keys)
                p.for_each([&](float& z, int i, int j) { s.system.set(row + i, col + j, z * beta[col + j]); });
            else
                p.for_each([&](float& z, int i, int j) { y.scores.set(row + i, col + j, z); });
        }
        TILE_FN void add_late(Acc<BLOCK, BLOCK, 1>& p, int first, bool keys) {
            p.for_each([&](float& z, int i, int j) {
                z += keys ? s.late_system.at(first + i, first + j) : s.late.at(first + i, first + j);
            });
        }

        TILE_FN void pairs(int step) {
            Tile<T, 2 * C, K>& kq = s.kq[step % 3];
            Gates& gates = s.gates[step % 2];
            Ready& y = s.ready[step % 2];
            strands(kq, gates.g, y);
            group_barrier<W>();
            const bool some = s.late_channels;
            if (some) late(gates.g, step);
            squares(kq, y, gates.beta, some);
            if constexpr (KEEPS) for_each_index<W, C>([&](int i) { y.beta[i] = gates.beta[i]; });
            invert_unit_lower<W>(y.inverse, s.system, [&](float z, int i, int) { return KEEPS ? z : z * gates.beta[i]; });
            if constexpr (KEEPS) keep(y, step);
        }
        TILE_FN void keep(const Ready& y, int step) {
            const long long square = at.kept(a, step) * C * C;
            group_barrier<W>();
            store_global<W>(a.inverse + square, C, y.inverse, C, C);
            store_global<W>(a.scores + square, C, y.scores, C, C);
        }

        TILE_FN void begin() {
            for (int i = 0; i < 2; i++) fill<W>(s.ready[i].scores, 0);
        }
        TILE_FN void ready() {
            if (at.steps > 0) pairs(0);
        }
        TILE_FN void step(int c) {
            if (c + 1 < at.steps && !vanished(s, a, at, c)) pairs(c + 1);
        }
        TILE_FN void end() {}
    };

    struct StateRole {
        Shared& s;
        const Args& a;
        const Place& at;
        State S;

        TILE_FN void fetch_keys(int step) {
            if (step >= at.steps) return;
            const Span here = span(at, step);
            const long long ldk = (long long)a.H * a.K, key = here.row * ldk + (long long)at.hk * a.K;
            const long long head = here.row * a.HV + at.hv;
            Gates& gates = s.gates[step % 2];
            load_async<STATE_WARPS>(rows<C>(s.kq[step % 3], 0), a.k + key, ldk, here.count, a.K);
            if constexpr (!PIECES) load_async<STATE_WARPS>(rows<C>(s.kq[step % 3], 1), a.q + key, ldk, here.count, a.K);
            load_async<STATE_WARPS>(gates.g, a.g + head * a.K, (long long)a.HV * a.K, here.count, a.K);
            load_async<STATE_WARPS>(gates.beta, a.beta + head, a.HV, here.count);
        }
        TILE_FN void fetch_values(int step) {
            if (step >= at.steps) return;
            const Span here = span(at, step);
            const long long head = here.row * a.HV + at.hv;
            load_async<STATE_WARPS>(s.v[step % 2], a.v + head * a.V + at.v0, (long long)a.HV * a.V, here.count,
                                    a.V - at.v0);
        }

        // o^T = S^T (scale E q)^T + u^T P^T,  u^T = (v^T - S^T (E k)^T) (X diag(beta))^T
        TILE_FN void chunk(int step) {
            Tile<T, 2 * C, K>& kq = s.kq[step % 3];
            Tile<T, C, V>& v = s.v[step % 2];
            const Ready& y = s.ready[step % 2];
            const Span here = span(at, step);
            const long long value = (here.row * a.HV + at.hv) * a.V + at.v0;
            if constexpr (KEEPS)
                store_global(a.states + (at.kept(a, step) * a.V + at.v0) * K, K, s.state, S, a.V - at.v0, K);
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
            S.for_each([&](float& z, int, int c) { z *= y.whole[c]; });
            settle(left, u);
            if constexpr (KEEPS) {
                store_global(a.w + value, (long long)a.HV * a.V, t(v), u, here.count, a.V - at.v0);
                u.for_each([&](float& z, int, int i) { z *= y.beta[i]; });
            }
            left.round(u);
            if constexpr (PIECES) {
                prepare(left, S);
            } else {
                prepare(left, o, S);
                issue(o, left, t(y.scores));
            }
            issue(S, left, y.written);
            if constexpr (!PIECES) {
                settle_but_last(o);
                if (!KEEPS || a.o)
                    store_global(a.o + value, (long long)a.HV * a.V, t(v), o, here.count, a.V - at.v0);
            }
            settle(left, S);
        }

        TILE_FN void begin() {
            const bool map = maps(a, at);
            if (PIECES)
                S.for_each([&](float& z, int v, int k) { z = map && v == k ? 1.f : 0.f; });
            else if (a.h0)
                load(S, a.h0 + at.state, 1, a.V, a.V - at.v0, a.K);
            else
                S.fill(0);
            fetch_keys(0);
            fetch_values(0);
            commit();
            fetch_keys(1);
            commit();
            wait<1>();
        }
        TILE_FN void ready() { wait<0>(); }
        TILE_FN void step(int c) {
            if (!vanished(s, a, at, c)) {
                fetch_keys(c + 2);
                fetch_values(c + 1);
                commit();
                chunk(c);
                wait<0>();
            }
            if (maps(a, at)) delta::measure(s.left, S, c);
        }
        TILE_FN void end() {
            const delta::Owner piece = delta::owner(a, at.n);
            const long long size = (long long)a.K * a.V;
            if (maps(a, at)) return delta::give(a.maps + at.state / size * 2 * a.K * a.K, S, a.K);
            const long long to = PIECES ? at.state : ((long long)piece.sequence * a.HV + at.hv) * size + at.v0;
            if (a.ht && (PIECES || piece.ends)) store_global(a.ht + to, 1, a.V, S, a.V - at.v0, a.K);
        }
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = place(a);
        if (PIECES && !delta::wanted(a, at.n, maps(a, at))) return;
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        lockstep<STATE_WARPS, PAIR_WARPS, 144>(at.steps, state, pair);
    }
};

template <class T, int C, int K, int V>
struct KdaFused : FusedPass<T, C, K, V, delta::NOTHING> {};
template <class T, int C, int K, int V>
struct KdaKept : FusedPass<T, C, K, V, delta::STATES> {};
template <class T, int C, int K, int V>
struct KdaPieces : FusedPass<T, C, K, V, delta::MAPS> {};

}  // namespace kda

using kda::KdaFused;
using kda::KdaKept;
using kda::KdaPieces;
#endif
