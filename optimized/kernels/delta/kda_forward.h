// The forward pass of kda in one kernel, for 16-bit operands and machines with room in shared memory:
//   KdaFused   grid N * HV * slices, no workspace
// A block's warps have two roles, a chunk apart: the pairs' role turns decays, keys and queries of the next chunk into what
// the state's role multiplies with, while the state passes through the present one. Nothing of it leaves the chip.
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
    const long long* offsets;
    int H, HV, K, V;
    float scale;
};
static_assert(sizeof(FusedArgs<bf16>) == 9 * 8 + 5 * 4 + 4, "twin of FusedArgs");

template <class T, int C, int K, int V>
struct Fused {
    using Args = FusedArgs<T>;
    static constexpr int STATE_WARPS = V / 16, PAIR_WARPS = 8, WARPS = STATE_WARPS + PAIR_WARPS, MIN_BLOCKS = 1;
    // a thread of the pairs' role walks STRAND tokens of two channels; a block of pairs is BLOCK tokens wide
    static constexpr int STRAND = 8, STRANDS = C / STRAND, BLOCK = 16, BLOCKS = C / BLOCK, LEVELS = 3 + BLOCKS;
    static_assert(BLOCKS <= 2 && C == 1 << LEVELS, "one block of two strands a channel, or two");
    struct Gates {
        Tile<float, C, K> g;
        float beta[C];
    };
    // keys and queries as they meet at 1 << level
    struct Meeting {
        Tile<T, C, K> q, k;
    };
    // X diag(beta), P, F k, R
    struct Ready {
        Tile<T, C, K> written;
        Tile<T, C, C> inverse, scores;
        float whole[K];
    };
    struct Shared {
        Tile<T, 2 * C, K> kq[3];  // k, then q; when ready E k and scale E q
        Tile<T, C, V> v[2];       // and o after it
        Gates gates[2];
        Ready ready[2];
        Meeting meeting[LEVELS];
        Tile<float, C, C> system;
        Two total[STRANDS][K / 2];  // decays of whole strands
        float diagonal[C];
    };
    using State = Acc<V, K, STATE_WARPS>;  // transposed, as in the other sweeps
    using Values = Acc<V, C, STATE_WARPS>;

    struct Place {
        long long row, length, state;
        int hv, hk, v0, steps;
    };
    static TILE_FN Place place(const Args& a) {
        const int slices = (a.V + V - 1) / V, head = block_id() / slices, v0 = block_id() % slices * V;
        const int n = head / a.HV, hv = head % a.HV;
        const long long row = a.offsets[n], length = a.offsets[n + 1] - row;
        return {row, length, (long long)head * a.K * a.V + v0, hv, hv / (a.HV / a.H), v0, (int)((length + C - 1) / C)};
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
        static_assert(ITEMS <= W * 32, "a strand for each thread at most");
        // what a thread keeps of its strand between two barriers
        struct Strand {
            Two d[STRAND];
        };

        // a token reads itself undecayed
        TILE_FN void diagonal(Tile<T, 2 * C, K>& kq) {
            groups<W, W>([&](int b) {
                if (b >= BLOCKS) return;
                const auto &k = rows<BLOCK>(kq, b), &q = rows<BLOCK>(kq, BLOCKS + b);
                Acc<BLOCK, BLOCK, 1> p;
                p.fill(0);
                mma(p, q, t(k));
                p.for_each([&](float& y, int i, int j) {
                    if (i == j) s.diagonal[BLOCK * b + i] = a.scale * y;
                });
            });
        }

        // where pairs meet within a strand
        template <int LEVEL>
        TILE_FN void meet(const Two (&d)[STRAND], const Tile<T, 2 * C, K>& kq, int first, int c) {
            constexpr int S = 1 << LEVEL;
            Meeting& m = s.meeting[LEVEL];
            TILE_UNROLL
            for (int mid = S; mid < STRAND; mid += 2 * S) {
                Two run = {1, 1};
                TILE_UNROLL
                for (int i = mid - 1; i >= mid - S; i--) {
                    put(m.k, first + i, c, get(kq, first + i, c) * run);
                    run = run * d[i];
                }
                run = {1, 1};
                TILE_UNROLL
                for (int i = mid; i < mid + S; i++) {
                    run = run * d[i];
                    put(m.k, first + i, c, get(kq, first + i, c) * run);
                    put(m.q, first + i, c, get(kq, C + first + i, c) * run);
                }
            }
            if constexpr (LEVEL > 0) meet<LEVEL - 1>(d, kq, first, c);
        }

        // Where pairs of different strands meet, and the chunk's ends: from is what lies before the strand in its half
        // of the chunk and in the chunk, to what lies behind it.
        TILE_FN void across(const Two (&d)[STRAND], int strand, int c, Tile<T, 2 * C, K>& kq, Tile<T, C, K>& written) {
            const bool odd = strand % 2, late = strand / 2;
            const int first = strand * STRAND;
            auto total = [&](int n) { return s.total[n][c / 2]; };
            const Two one = {1, 1}, beside = total(strand ^ 1);
            const Two half = BLOCKS > 1 ? total(late ? 0 : 2) * total(late ? 1 : STRANDS - 1) : one;
            const Two from_half = odd ? beside : one, to_half = odd ? one : beside;
            const Two from = late ? from_half * half : from_half, to = late ? to_half : to_half * half;
            Meeting &near = s.meeting[3], &far = s.meeting[LEVELS - 1];
            Two run = one;
            TILE_UNROLL
            for (int i = STRAND - 1; i >= 0; i--) {
                const Two k = get(kq, first + i, c);
                if (!odd) put(near.k, first + i, c, k * run);
                if (BLOCKS > 1 && !late) put(far.k, first + i, c, k * (run * to_half));
                put(written, first + i, c, k * (run * to));
                run = run * d[i];
            }
            run = one;
            TILE_UNROLL
            for (int i = 0; i < STRAND; i++) {
                run = run * d[i];
                const Two k = get(kq, first + i, c), q = get(kq, C + first + i, c);
                if (odd) {
                    put(near.k, first + i, c, k * run);
                    put(near.q, first + i, c, q * run);
                }
                if (BLOCKS > 1 && late) {
                    const Two f = run * from_half;
                    put(far.k, first + i, c, k * f);
                    put(far.q, first + i, c, q * f);
                }
                const Two f = run * from;
                put(kq, first + i, c, k * f);
                put(kq, C + first + i, c, q * (f * Two{a.scale, a.scale}));
            }
        }

        template <class F>
        static TILE_FN void for_each_strand(Own<Strand, W * 32, W>& strands, F f) {
            strands.for_each([&](Strand& x, int n) {
                if (ITEMS == W * 32 || n < ITEMS) f(x.d, n / (K / 2), n % (K / 2) * 2);
            });
        }
        TILE_FN void strands(Tile<T, 2 * C, K>& kq, const Tile<float, C, K>& g, Ready& y) {
            Own<Strand, W * 32, W> strands;
            for_each_strand(strands, [&](Two(&d)[STRAND], int strand, int c) {
                Two sum = {0, 0};
                TILE_UNROLL
                for (int i = 0; i < STRAND; i++) {
                    Two z;
                    g.get_pair(z.x, z.y, strand * STRAND + i, c);
                    sum.x += z.x, sum.y += z.y;
                    d[i] = {exp<T>(z.x), exp<T>(z.y)};
                }
                s.total[strand][c / 2] = {exp<float>(sum.x), exp<float>(sum.y)};
            });
            for_each_strand(strands, [&](Two(&d)[STRAND], int strand, int c) {
                meet<2>(d, kq, strand * STRAND, c);
            });
            group_barrier<W>();
            for_each_strand(strands, [&](Two(&d)[STRAND], int strand, int c) {
                across(d, strand, c, kq, y.written);
                if (strand > 0) return;
                Two whole = {1, 1};
                for (int n = 0; n < STRANDS; n++) whole = whole * s.total[n][c / 2];
                y.whole[c] = whole.x, y.whole[c + 1] = whole.y;
            });
        }

        // block b of the diagonal, of scores or of the system
        template <int LEVEL>
        TILE_FN void inside(Acc<BLOCK, BLOCK, 1>& sum, bool keys, int b) {
            Meeting& m = s.meeting[LEVEL];
            Acc<BLOCK, BLOCK, 1> p;
            p.fill(0);
            const auto& right = rows<BLOCK>(m.k, b);
            const auto& left = keys ? rows<BLOCK>(m.k, b) : rows<BLOCK>(m.q, b);
            mma(p, left, t(right));
            zip(sum, p, [](float& y, float x, int i, int j) { y = channels::meet(1 << LEVEL, i, j) ? x : y; });
            if constexpr (LEVEL > 0) inside<LEVEL - 1>(sum, keys, b);
        }
        // two blocks on the diagonal and one below it, of scores and of the system, a warp each
        TILE_FN void squares(Ready& y, const float (&beta)[C]) {
            groups<W, W>([&](int g) {
                const bool keys = g % 2;
                const int b = g / 2;
                Acc<BLOCK, BLOCK, 1> p;
                p.fill(0);
                if (b < BLOCKS) {
                    inside<3>(p, keys, b);
                    keep(p, y, beta, keys, b, b);
                } else if (BLOCKS > 1 && b == BLOCKS) {
                    Meeting& m = s.meeting[LEVELS - 1];
                    const auto& right = rows<BLOCK>(m.k, 0);
                    const auto& left = keys ? rows<BLOCK>(m.k, 1) : rows<BLOCK>(m.q, 1);
                    mma(p, left, t(right));
                    keep(p, y, beta, keys, 1, 0);
                }
            });
        }
        TILE_FN void keep(Acc<BLOCK, BLOCK, 1>& p, Ready& y, const float (&beta)[C], bool keys, int row, int col) {
            p.for_each([&](float& x, int i, int j) {
                i += BLOCK * row, j += BLOCK * col;
                if (keys)
                    s.system.set(i, j, x * beta[j]);
                else
                    y.scores.set(i, j, i == j ? s.diagonal[i] : a.scale * x);
            });
        }

        TILE_FN void pairs(int step) {
            Tile<T, 2 * C, K>& kq = s.kq[step % 3];
            Gates& gates = s.gates[step % 2];
            Ready& y = s.ready[step % 2];
            diagonal(kq);
            strands(kq, gates.g, y);
            group_barrier<W>();
            squares(y, gates.beta);
            invert_unit_lower<W>(y.inverse, s.system, [&](float z, int i, int) { return z * gates.beta[i]; });
        }

        TILE_FN void begin() {
            for (int i = 0; i < 2; i++) fill<W>(s.ready[i].scores, 0);
        }
        TILE_FN void ready() {
            if (at.steps > 0) pairs(0);
        }
        TILE_FN void step(int c) {
            if (c + 1 < at.steps) pairs(c + 1);
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
            load_async<STATE_WARPS>(rows<C>(s.kq[step % 3], 1), a.q + key, ldk, here.count, a.K);
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
            Values r, o, u;
            r.fill(0);
            o.fill(0);
            u.fill(0);
            auto before = operand<T>(S);
            prepare(before, r, o);
            issue_halves(r, o, before, t(kq));
            settle(before, r, o);
            zip(r, t(v), [](float& z, float given, int, int) { z = given - z; });
            Reg<T, V, C, STATE_WARPS> left;
            left.round(r);
            prepare(left, u);
            issue(u, left, t(y.inverse));
            S.for_each([&](float& z, int, int c) { z *= y.whole[c]; });
            settle(left, u);
            left.round(u);
            prepare(left, o, S);
            issue(o, left, t(y.scores));
            issue(S, left, y.written);
            settle_but_last(o);
            T* to = a.o + (here.row * a.HV + at.hv) * a.V + at.v0;
            store_global(to, (long long)a.HV * a.V, t(v), o, here.count, a.V - at.v0);
            settle(left, S);
        }

        TILE_FN void begin() {
            if (a.h0)
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
            fetch_keys(c + 2);
            fetch_values(c + 1);
            commit();
            chunk(c);
            wait<0>();
        }
        TILE_FN void end() {
            if (a.ht) store_global(a.ht + at.state, 1, a.V, S, a.V - at.v0, a.K);
        }
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = place(a);
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        lockstep<STATE_WARPS, PAIR_WARPS>(at.steps, state, pair);
    }
};

// chunks of half the tokens where shared memory is short: no other kernel sees them
template <class T, int C, int K, int V>
constexpr bool FITS = sizeof(typename Fused<T, C, K, V>::Shared) <= TILE_SHARED_MOST;
template <class T, int C, int K, int V>
struct KdaFused : Choose<FITS<T, C, K, V>, Fused<T, C, K, V>, Fused<T, 16, K, V>>::type {};

}  // namespace kda

using kda::KdaFused;
#endif
