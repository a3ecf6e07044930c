// The forward pass of gated_delta_rule in one kernel, for 16-bit operands and machines with room in shared memory:
//   GatedDeltaFused   grid N * HV * slices, no workspace
//   GatedDeltaKept    the same, and leaves states, residuals w, X and P for the backward pass
//   GatedDeltaPieces  grid P * HV * (slices + 1)   what each of P pieces of sequences does to a state: what it makes of
//                     none, and, in the block behind those of its values, of each key by itself: the map of the state
// A block's warps have two roles, a step of GROUPS chunks apart: pairs of tokens give X diag(beta) and P of the next
// chunks,
// which no state enters, while the state passes through the present ones. Neither ever leaves the chip.
#pragma once

#if !defined(TILE_HIP)
namespace delta {

template <class T>
struct FusedArgs {
    const T *q, *k, *v;     // [R, H, K] twice, [R, HV, V]
    const float *g, *beta;  // [R, HV]
    const float* h0;        // [N, HV, K, V] or null
    T* o;                   // [R, HV, V]
    float* ht;              // [N, HV, K, V] or null
    // Kept only, null in Fused; o may be null then
    T *states, *w;          // [total, HV, V, K] before every STRIDE tokens, K the template's; [R, HV, V]
    T *inverse, *scores;    // [total, HV, STRIDE / C, C, C]: X and P
    bf16* maps;             // [P, HV, 2, K, K], Pieces only: high and low as in pieces.cu
    const long long *offsets, *chunks;
    // of pieces, to which ht belongs in Pieces, and h0 and offsets in all: pieces.cu; null where nothing is cut
    const int* owners;
    const long long* firsts;
    const long long *windows, *windows_back;  // part.h; the second of Pieces only, and the first again where nothing comes back
    int H, HV, K, V;
    int entering, behind;  // part.h; Pieces: whether something comes back into the last piece
    float scale;
};
static_assert(sizeof(FusedArgs<bf16>) == 19 * 8 + 8 * 4, "twin of FusedArgs");

template <class T, int C, int K, int V, Leaves LEAVES>
struct FusedPass {
    using Args = FusedArgs<T>;
    static constexpr bool KEEPS = LEAVES == STATES, PIECES = LEAVES == MAPS;
    static constexpr int STATE_WARPS = V / 16, GROUP_WARPS = 2, MIN_BLOCKS = K <= 64 ? 2 : 1;
    struct Chunk {
        Tile<T, PIECES ? C : 2 * C, K> kq;  // k, then q
        Tile<T, C, V> v;  // and o after it
        float g[C], beta[C];
    };
    struct Pairs {
        Tile<T, C, C> inverse, scores;  // X diag(beta), P
        float from_start[C], read[C], to_end[C], whole[C];
    };
    struct Nothing {};
    // chunks that are loaded, chunks whose pairs are done
    static constexpr int STAGES = 3, READY = 2;
    template <int GROUPS>
    struct Memory {
        Chunk chunk[STAGES][GROUPS];
        Pairs pairs[READY][GROUPS];
        Tile<float, C, C> system[GROUPS];
        typename Choose<KEEPS, Tile<T, V, K>, Nothing>::type state;
        Prefix<C> G[GROUPS];
        float left[2][STATE_WARPS];  // how much of a map is left
    };
    static constexpr int GROUPS = sizeof(Memory<2>) <= TILE_SHARED_MOST ? 2 : 1;
    static constexpr int PAIR_WARPS = GROUPS * GROUP_WARPS, WARPS = STATE_WARPS + PAIR_WARPS;
    using Shared = Memory<GROUPS>;
    using State = Acc<V, K, STATE_WARPS>;  // transposed, as in the other sweeps
    using Values = Acc<V, C, STATE_WARPS>;
    using Square = Acc<C, C, GROUP_WARPS>;

    struct Place {
        Part part;
        long long row, length, state, first;
        int hv, hk, v0, steps, window;  // steps in all, of which those of the window come first

        // the number of a step among all of all heads
        TILE_FN long long kept(const Args& a, int step) const { return (first + step) * a.HV + hv; }
    };
    static TILE_FN Place place(const Args& a) {
        const int slices = (a.V + V - 1) / V + (PIECES ? 1 : 0);
        const int head = block_id() / slices, v0 = block_id() % slices * V, hv = head % a.HV;
        constexpr int TOKENS = GROUPS * C;  // of a step
        const Part x = part<false>(a, head / a.HV, a.HV, hv, 0);
        const long long row = x.from(a.offsets), length = x.to(a.offsets) - row, first = a.chunks[x.first];
        const long long state = ((long long)x.entry * a.HV + hv) * a.K * a.V + v0;
        const int steps = (int)((length + TOKENS - 1) / TOKENS), window = x.before / TOKENS;
        return {x, row, length, state, first - window, hv, hv / (a.HV / a.H), v0, steps, window};
    }
    // the block behind those of the values
    static TILE_FN bool maps(const Args& a, const Place& at) { return PIECES && at.v0 >= a.V; }
    // whether nothing was left of a map some steps before: nothing will be
    static TILE_FN bool vanished(const Shared& s, const Args& a, const Place& at, int c) {
        return a.g && maps(a, at) && none(s.left, c);
    }
    static TILE_FN Span span(const Place& at, int step, int group) {
        const long long first = ((long long)step * GROUPS + group) * C, left = at.length - first;
        return {at.row + first, left < C ? (int)left : C};
    }
    // how much of something is given away of a step: nothing of the window
    static TILE_FN int given(const Place& at, int step, int all) { return step < at.window ? 0 : all; }

    struct PairRole {
        Shared& s;
        const Args& a;
        const Place& at;

        static TILE_FN void factors(Pairs& y, const Prefix<C>& G, float scale) {
            for_each_index<GROUP_WARPS, C>([&](int i) {
                const float down = exp<T>(G[i]);
                y.from_start[i] = down;
                y.read[i] = scale * down;
                y.to_end[i] = exp<T>(G.between(C - 1, i));
                y.whole[i] = exp<T>(G[C - 1]);
            });
        }

        static TILE_FN void group(Chunk& x, Pairs& y, Tile<float, C, C>& system, Prefix<C>& G, float scale) {
            prefix_sum<GROUP_WARPS>(G, x.g);
            Square p, l, decays;
            p.fill(0);
            l.fill(0);
            const auto& k = rows<C>(x.kq, 0);
            if constexpr (PIECES)
                mma(l, k, t(k));
            else
                mma_both(p, l, rows<C>(x.kq, 1), k, t(k));
            group_barrier<GROUP_WARPS>();
            factors(y, G, scale);
            decays.for_each([&](float& d, int i, int j) { d = G.template decay<T>(i, j); });
            zip(l, decays, [&](float& z, float d, int i, int j) { z = i > j ? z * d * x.beta[j] : 0.f; });
            store(system, l);
            if constexpr (!PIECES) {
                zip(p, decays, [&](float& z, float d, int i, int j) { z = i >= j ? z * d * scale : 0.f; });
                store(y.scores, p);
            }
            invert_unit_lower<GROUP_WARPS>(y.inverse, system,
                                           [&](float z, int i, int) { return KEEPS ? z : z * x.beta[i]; });
        }
        TILE_FN void keep(const Pairs& y, int step, int m) {
            const long long square = (at.kept(a, step) * GROUPS + m) * C * C;
            group_barrier<GROUP_WARPS>();
            store_global<GROUP_WARPS>(a.inverse + square, C, y.inverse, given(at, step, C), C);
            store_global<GROUP_WARPS>(a.scores + square, C, y.scores, given(at, step, C), C);
        }

        TILE_FN void pairs(int step) {
            groups<PAIR_WARPS, GROUPS>([&](int m) {
                group(s.chunk[step % STAGES][m], s.pairs[step % READY][m], s.system[m], s.G[m], a.scale);
                if constexpr (KEEPS) keep(s.pairs[step % READY][m], step, m);
            });
        }
        TILE_FN void begin() {}
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

        // chunk m of a step; a commit each, also of nothing
        TILE_FN void fetch(int step, int m) {
            if (step < at.steps) {
                Chunk& x = s.chunk[step % STAGES][m];
                const Span here = span(at, step, m);
                const long long ldk = (long long)a.H * a.K, ldv = (long long)a.HV * a.V;
                const long long key = here.row * ldk + (long long)at.hk * a.K, head = here.row * a.HV + at.hv;
                load_async<STATE_WARPS>(rows<C>(x.kq, 0), a.k + key, ldk, here.count, a.K);
                if constexpr (!PIECES) load_async<STATE_WARPS>(rows<C>(x.kq, 1), a.q + key, ldk, here.count, a.K);
                load_async<STATE_WARPS>(x.v, a.v + head * a.V + at.v0, ldv, here.count, a.V - at.v0);
                load_gates<STATE_WARPS>(x.g, a.g, head, a.HV, here.count);
                load_async<STATE_WARPS>(x.beta, a.beta + head, a.HV, here.count);
            }
            commit();
        }

        // o^T = scale exp(G) S^T q^T + u^T P^T,  u^T = (v^T - exp(G) S^T k^T) (X diag(beta))^T
        TILE_FN void chunk(int step, int m) {
            Chunk& x = s.chunk[step % STAGES][m];
            const Pairs& y = s.pairs[step % READY][m];
            const Span here = span(at, step, m);
            fetch(step + 2, m);  // early: it must have arrived when the step ends
            Values r, o, u;
            r.fill(0);
            o.fill(0);
            u.fill(0);
            auto before = operand<T>(S);
            prepare(before, r, o);
            if constexpr (PIECES)
                issue(r, before, t(x.kq));
            else
                issue_halves(r, o, before, t(x.kq));
            settle(before, r, o);
            zip(r, t(x.v), [&](float& z, float v, int, int i) { z = v - y.from_start[i] * z; });
            if constexpr (!PIECES) o.for_each([&](float& z, int, int i) { z *= y.read[i]; });
            Reg<T, V, C, STATE_WARPS> left, decayed;
            left.round(r);
            prepare(left, u);
            issue(u, left, t(y.inverse));
            const float whole = y.whole[0];
            S.for_each([whole](float& z, int, int) { z *= whole; });
            settle(left, u);
            const long long value = (here.row * a.HV + at.hv) * a.V + at.v0;
            const int given = FusedPass::given(at, step, here.count);
            if constexpr (KEEPS) {
                store_global(a.w + value, (long long)a.HV * a.V, t(x.v), u, given, a.V - at.v0);
                u.for_each([&](float& z, int, int i) { z *= x.beta[i]; });
            }
            left.round(u);
            u.for_each([&](float& z, int, int i) { z *= y.to_end[i]; });
            decayed.round(u);
            if constexpr (PIECES) {
                prepare(decayed, S);
            } else {
                prepare(left, decayed, o, S);
                issue(o, left, t(y.scores));
            }
            issue(S, decayed, rows<C>(x.kq, 0));
            if constexpr (!PIECES) {
                settle_but_last(left, o);
                if (!KEEPS || a.o)
                    store_global(a.o + value, (long long)a.HV * a.V, t(x.v), o, given, a.V - at.v0);
            }
            settle(decayed, S);
        }

        TILE_FN void begin() {
            const bool map = maps(a, at);
            if (PIECES)
                S.for_each([&](float& z, int v, int k) { z = map && v == k ? 1.f : 0.f; });
            else if (a.h0 && at.part.enters)
                load(S, a.h0 + at.state, 1, a.V, a.V - at.v0, a.K);
            else
                S.fill(0);
            for (int i = 0; i < 2 * GROUPS; i++) fetch(i / GROUPS, i % GROUPS);
            wait<GROUPS>();
        }
        TILE_FN void ready() { wait<0>(); }
        TILE_FN void step(int c) {
            if constexpr (KEEPS)
                store_global(a.states + (at.kept(a, c) * a.V + at.v0) * K, K, s.state, S, given(at, c, a.V - at.v0), K);
            const bool gone = vanished(s, a, at, c);
            TILE_ROLL
            for (int m = 0; m < GROUPS && !gone; m++) chunk(c, m);
            wait<0>();
            if (a.g && maps(a, at)) measure(s.left, S, c);
        }
        TILE_FN void end() {
            const long long size = (long long)a.K * a.V;
            if (maps(a, at)) return give(a.maps + at.state / size * 2 * a.K * a.K, S, a.K);
            const long long to = PIECES ? at.state : ((long long)at.part.sequence * a.HV + at.hv) * size + at.v0;
            if (a.ht && (PIECES || at.part.ends)) store_global(a.ht + to, 1, a.V, S, a.V - at.v0, a.K);
        }
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const Place at = place(a);
        if (PIECES ? !wanted(a, at.part.first, at.hv, maps(a, at)) : at.part.idle) return;
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        lockstep<STATE_WARPS, PAIR_WARPS>(at.steps, state, pair);
    }
};

template <class T, int C, int K, int V>
struct GatedDeltaFused : FusedPass<T, C, K, V, NOTHING> {};
template <class T, int C, int K, int V>
struct GatedDeltaKept : FusedPass<T, C, K, V, STATES> {};
template <class T, int C, int K, int V>
struct GatedDeltaPieces : FusedPass<T, C, K, V, MAPS> {};

}  // namespace delta

using delta::GatedDeltaFused;
using delta::GatedDeltaKept;
using delta::GatedDeltaPieces;
#endif
