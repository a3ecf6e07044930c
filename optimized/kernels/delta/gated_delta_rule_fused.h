// The backward pass of gated_delta_rule in one kernel, for 16-bit operands, values no wider than a slice, and machines
// with room in shared memory, after a forward pass that keeps what this one needs (GatedDeltaKept):
//   GatedDeltaBackward  grid N * HV, of pieces P * HV
// Chunks of C tokens go from the last to the first, each in three steps. One role takes the gradient of the state, which
// it holds in registers, through the chunk by halves: d_v of a half, then the state; it leaves a copy of the gradient
// behind the chunk in shared memory. The other, a step behind, makes the pairs' products, d_q, d_k and the sums of the
// whole chunk, of which the first, which has less to do, makes d_beta and d_g; it asks for the next state where the last
// product has read the one before. What is wide in K lies in panels of 64 columns, so that products take them one at a
// time. Without states it only takes the gradient of the state through each piece but the first of a sequence.
#pragma once

#if !defined(TILE_HIP)
namespace delta {

template <class T>
struct BackwardArgs {
    const T *q, *k, *d_o;                        // [R, H, K] twice, [R, HV, V] or null
    const T *states, *w, *inverse, *scores;      // what GatedDeltaKept left; states null: only d_h0 is wanted, by piece
    const float *g, *beta;                       // [R, HV]
    const float* d_ht;                           // [N, HV, K, V] or null
    T *d_q, *d_k, *d_v;                          // [R, H, K] twice, [R, HV, V], each or null; when HV > H, instead of
    float *partial_q, *partial_k;                // d_q and d_k [R, HV, K], each or null
    float *d_g, *d_beta, *d_h0;                  // [R, HV] twice, [N, HV, K, V], each or null
    const long long *offsets, *chunks;
    const int* owners;  // as in FusedArgs; d_h0 belongs to sequences, the rest to pieces
    const long long* firsts;
    const long long* windows;  // part.h
    int H, HV, K, V, entering;
    float scale;
};
static_assert(sizeof(BackwardArgs<bf16>) == 23 * 8 + 6 * 4, "twin of BackwardArgs");

template <class T, int C, int K, int V>
struct GatedDeltaBackward {
    using Args = BackwardArgs<T>;
    static constexpr int STATE_WARPS = V / 16, GRADIENT_WARPS = C / 16, WARPS = STATE_WARPS + GRADIENT_WARPS;
    static constexpr int HALF = C / 2, PANEL = 64, PANELS = K / PANEL, MIN_BLOCKS = K <= 64 ? 2 : 1;
    using State = Acc<V, PANEL, STATE_WARPS>;  // a panel, transposed
    using Values = Acc<V, HALF, STATE_WARPS>;
    using Operand = Reg<T, V, HALF, STATE_WARPS>;
    using Square = Acc<C, C, GRADIENT_WARPS>;
    using Pairs = Reg<T, C, C, GRADIENT_WARPS>;
    using Keys = Acc<C, PANEL, GRADIENT_WARPS>;
    using Tokens = Reg<T, C, V, GRADIENT_WARPS>;
    struct Chunk {
        Tile<T, C, PANEL> q[PANELS], k[PANELS];
        union {
            Tile<T, C, V> d_o;
            Tile<T, C, PANEL> out;  // a panel of d_k, after it
        };
    };
    struct Half {
        Tile<T, HALF, HALF> inverse, scores;
    };
    // what a token keeps from the beginning of its chunk, of its half, and to the end of them
    struct Factors {
        Prefix<C> G;
        float from_start[C], to_end[C], half_start[C], half_end[C], half[2], whole;
    };
    struct Memory {
        Chunk chunk[2];
        Tile<T, C, V> w, d_v;
        Tile<T, V, PANEL> state[PANELS], d_state[PANELS];
        Half half[2];
        Tile<T, C, C> d_scores, d_system;
        float g[3][C], beta[3][C];
        Factors factors[2];
        float reads[2][PANELS][C], removed[PANELS][C], written[PANELS][C], before[C], after[C];
        float columns[GRADIENT_WARPS][C], crossing[GRADIENT_WARPS][C], through[2][STATE_WARPS];
    };
    static_assert(PANEL == C, "d_system is where d_q goes out by panels");
    // where it does not fit, nobody launches it
    static constexpr bool FITS = sizeof(Memory) <= TILE_SHARED_MOST;
    using Shared = typename Choose<FITS, Memory, float>::type;

    struct Place {
        Part part;
        long long row, length, first, state;
        int hv, hk, chunks, window;  // chunks in all, of which those of the window come first

        // i counts chunks from the last
        TILE_FN Span span(int i) const {
            const long long token = (long long)(chunks - 1 - i) * C, left = length - token;
            return {row + token, left < C ? (int)left : C};
        }
        // the same to be given away: nothing of the window
        TILE_FN Span given(int i) const {
            const Span rows = span(i);
            return {rows.row, i < window ? 0 : rows.count};
        }
        TILE_FN long long kept(const Args& a, int i) const { return (first + chunks - 1 - i) * a.HV + hv; }
    };
    static TILE_FN Place place(const Args& a) {
        const int hv = block_id() % a.HV;
        const Part x = part<true>(a, block_id() / a.HV, a.HV, hv, 0);
        const long long row = x.from(a.offsets), length = x.to(a.offsets) - row;
        return {x, row, length, a.chunks[x.first], ((long long)x.entry * a.HV + hv) * a.K * a.V, hv, hv / (a.HV / a.H),
                (int)((length + C - 1) / C), x.behind / C};
    }

    // a panel of the state before chunk i, and with the last one the residuals in it
    template <int W>
    static TILE_FN void fetch_kept(Memory& s, const Args& a, const Place& at, int i, int h) {
        if (!a.states || i >= at.chunks) return;
        load_async<W>(s.state[h], a.states + at.kept(a, i) * a.V * K + h * PANEL, K, a.V, PANEL);
        if (h < PANELS - 1) return;
        const Span rows = at.span(i);
        const long long ld = (long long)a.HV * a.V, value = rows.row * ld + (long long)at.hv * a.V;
        load_async<W>(s.w, a.w + value, ld, rows.count, a.V);
    }

    struct StateRole {
        Memory& s;
        const Args& a;
        const Place& at;
        State D[PANELS];
        Values dV;

        TILE_FN void fetch_gates(int i) {
            if (i >= at.chunks) return;
            const Span rows = at.span(i);
            load_gates<STATE_WARPS>(s.g[i % 3], a.g, rows.row * a.HV + at.hv, a.HV, rows.count);
            load_async<STATE_WARPS>(s.beta[i % 3], a.beta + rows.row * a.HV + at.hv, a.HV, rows.count);
        }
        TILE_FN void fetch(int i) {
            if (i >= at.chunks) return;
            Chunk& x = s.chunk[i % 2];
            const Span rows = at.span(i);
            const long long ldk = (long long)a.H * a.K, ldv = (long long)a.HV * a.V;
            const long long key = rows.row * ldk + (long long)at.hk * a.K;
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) {
                load_async<STATE_WARPS>(x.q[h], a.q + key + h * PANEL, ldk, rows.count, a.K - h * PANEL);
                load_async<STATE_WARPS>(x.k[h], a.k + key + h * PANEL, ldk, rows.count, a.K - h * PANEL);
            }
            const T* d_o = a.d_o ? a.d_o : a.w;  // of the same shape, and not read then
            const long long value = rows.row * ldv + (long long)at.hv * a.V;
            load_async<STATE_WARPS>(x.d_o, d_o + value, ldv, rows.count, a.d_o ? a.V : 0);
        }
        // of the n-th half from the last
        TILE_FN void fetch_half(int n) {
            if (n < 2 * at.chunks) {
                const long long square = (at.kept(a, n / 2) * 2 + 1 - n % 2) * HALF * HALF;
                load_async<STATE_WARPS>(s.half[n % 2].inverse, a.inverse + square, HALF, HALF, HALF);
                load_async<STATE_WARPS>(s.half[n % 2].scores, a.scores + square, HALF, HALF, HALF);
            }
            commit();
        }

        TILE_FN void begin() {
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) {
                if (a.d_ht && at.part.enters)
                    load(D[h], a.d_ht + at.state + (long long)h * PANEL * a.V, 1, a.V, a.V, a.K - h * PANEL);
                else
                    D[h].fill(0);
            }
            fetch(0);
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) fetch_kept<STATE_WARPS>(s, a, at, 0, h);
            fetch_gates(0);
            fetch_gates(1);
            fetch_half(0);
            wait<0>();
        }
        TILE_FN void ready() { factors(0); }
        // d_v of the later half; its share of the gradient of the state, and d_v of the earlier one; its share
        TILE_FN void step(int c) {
            const int i = c / 3;
            if (i >= at.chunks) return;
            if (c % 3 != 0) update(i, 2 - c % 3);
            if (c % 3 != 2) values(i, 1 - c % 3);
            if (c % 3 != 1) wait<0>();
        }

        // d_v^T = (dS'^T k^T diag(to the end) + d_o^T P) diag(beta) X
        TILE_FN void values(int i, int half) {
            Chunk& x = s.chunk[i % 2];
            const Factors& f = s.factors[i % 2];
            const Half& y = s.half[1 - half];
            fetch_half(2 * i + 2 - half);
            Values dU;
            dU.fill(0);
            Reg<T, V, PANEL, STATE_WARPS> left[PANELS];
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) left[h].round(D[h]);
            prepare(left[0], left[PANELS - 1], dU);
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) {
                auto&& k = rows<HALF>(x.k[h], half);
                issue(dU, left[h], t(k));
            }
            settle(left[0], left[PANELS - 1], dU);
            const int first = half * HALF;
            dU.for_each([&](float& z, int, int j) { z *= f.half_end[first + j]; });
            Operand operand;
            auto&& d_o = rows<HALF>(x.d_o, half);
            operand.load(t(d_o));
            mma(dU, operand, y.scores);
            const float(&beta)[C] = s.beta[i % 3];
            dU.for_each([&](float& z, int, int j) { z *= beta[first + j]; });
            operand.round(dU);
            dV.fill(0);
            mma(dV, operand, y.inverse);
            if (half == 0) keep(half);
        }
        TILE_FN void keep(int half) {
            auto&& d_v = rows<HALF>(s.d_v, half);
            store(t(d_v), dV);
        }

        // dS = whole dS' + scale (diag(from the start) d_o)^T q - (diag(from the start) d_v)^T k
        TILE_FN void update(int i, int half) {
            Chunk& x = s.chunk[i % 2];
            const Factors& f = s.factors[i % 2];
            if (half == 1) {
                fetch(i + 1);
                scalars(i - 1);
                group_barrier<STATE_WARPS>();
                fetch_gates(i + 2);
                commit();
                keep(half);
                TILE_UNROLL
                for (int h = 0; h < PANELS; h++) store(s.d_state[h], D[h]);
            }
            const int first = half * HALF;
            const float scale = a.scale, whole = f.half[half];
            Operand read, removed;
            auto&& d_o = rows<HALF>(x.d_o, half);
            read.load(t(d_o));
            read.for_each([&](float& z, int, int j) { z *= scale * f.half_start[first + j]; });
            dV.for_each([&](float& z, int, int j) { z *= -f.half_start[first + j]; });
            removed.round(dV);
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) D[h].for_each([whole](float& z, int, int) { z *= whole; });
            prepare(read, removed, D[0], D[PANELS - 1]);
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) {
                issue(D[h], read, rows<HALF>(x.q[h], half));
                issue(D[h], removed, rows<HALF>(x.k[h], half));
            }
            settle(read, removed, D[0], D[PANELS - 1]);
            if (half == 0) rest(i);
        }
        // while the other role is busy with the chunk
        TILE_FN void rest(int i) {
            if (a.d_g) {
                float share = 0;
                TILE_UNROLL
                for (int h = 0; h < PANELS; h++) share += inner_product<STATE_WARPS>(s.state[h], s.d_state[h]);
                warp_sums<STATE_WARPS>(s.through[i % 2], share);
            }
            factors(i + 1);
            if (!a.d_v) return;
            const Span rows = at.given(i);
            const long long ld = (long long)a.HV * a.V, value = rows.row * ld + (long long)at.hv * a.V;
            store_global<STATE_WARPS>(a.d_v + value, ld, s.d_v, rows.count, a.V);
        }
        TILE_FN void factors(int i) {
            if (i >= at.chunks) return;
            Factors& f = s.factors[i % 2];
            prefix_sum<STATE_WARPS>(f.G, s.g[i % 3]);
            group_barrier<STATE_WARPS>();
            for_each_index<STATE_WARPS, C>([&](int j) {
                const int last = j < HALF ? HALF - 1 : C - 1;
                f.from_start[j] = exp<T>(f.G[j]);
                f.to_end[j] = exp<T>(f.G.between(C - 1, j));
                f.half_start[j] = j < HALF ? f.from_start[j] : exp<T>(f.G.between(j, HALF - 1));
                f.half_end[j] = exp<T>(f.G.between(last, j));
                if (j == HALF - 1) f.half[0] = f.from_start[j];
                if (j == C - 1) f.half[1] = f.half_start[j], f.whole = f.from_start[j];
            });
        }
        // d_g of a token is what passes through its gate: earlier tokens and the state into the outgoing state, the
        // state to what reads it from there on, and the pairs of an earlier token and a later or the same one
        TILE_FN void scalars(int i) {
            if (i < 0 || (!a.d_g && !a.d_beta)) return;
            const Factors& f = s.factors[i % 2];
            const float(&beta)[C] = s.beta[i % 3];
            const Span rows = at.given(i);
            const long long head = rows.row * a.HV + at.hv;
            for_each_index<STATE_WARPS, C>([&](int j) {
                float written = 0, reads = 0, columns = 0;
                TILE_UNROLL
                for (int h = 0; h < PANELS; h++) written += s.written[h][j];
                s.before[j] = beta[j] * written;
                if (a.d_beta) {
                    TILE_UNROLL
                    for (int w = 0; w < GRADIENT_WARPS; w++) columns += s.columns[w][j];
                    if (j < rows.count) a.d_beta[head + (long long)j * a.HV] = written + columns;
                }
                if (!a.d_g) return;
                TILE_UNROLL
                for (int h = 0; h < PANELS; h++) reads += s.reads[i % 2][h][j] + s.removed[h][j];
                s.after[j] = reads;
            });
            if (!a.d_g) return;
            group_barrier<STATE_WARPS>();
            sums_before<STATE_WARPS>(s.before, 0);
            sums_from<STATE_WARPS>(s.after, 1);
            group_barrier<STATE_WARPS>();
            for_each_index<STATE_WARPS, C>([&](int token) {
                float within = 0, through = 0;
                TILE_UNROLL
                for (int w = 0; w < GRADIENT_WARPS; w++) within += s.crossing[w][token];
                TILE_UNROLL
                for (int w = 0; w < STATE_WARPS; w++) through += s.through[i % 2][w];
                if (token < rows.count)
                    a.d_g[head + (long long)token * a.HV] =
                        (s.before[token] + s.after[token]) + (within + f.whole * through);
            });
        }
        TILE_FN void end() {
            scalars(at.chunks - 1);
            if (!a.d_h0 || (a.states && !at.part.begins)) return;
            const long long head = (long long)at.part.sequence * a.HV + at.hv;
            float* to = a.d_h0 + (a.states ? head * a.K * a.V : at.state);
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++)
                store_global(to + (long long)h * PANEL * a.V, 1, a.V, D[h], a.V, a.K - h * PANEL);
        }
    };

    struct GradientRole {
        Memory& s;
        const Args& a;
        const Place& at;
        Square decays, y;  // above the diagonal anything, as all squares until it is cut off; Y, and q k^T before it

        TILE_FN bool sums() const { return a.d_g || a.d_beta; }
        TILE_FN void begin() {}
        TILE_FN void ready() {}
        TILE_FN void step(int c) {
            const int i = (c - 1) / 3;
            if (c == 0 || i >= at.chunks || !a.states) return;
            if (c % 3 == 1) {
                scores(i);
                queries(i);
            } else if (c % 3 == 2) {
                system(i);
            } else {
                keys(i);
                y.fill(0), decays.fill(0);  // not needed meanwhile, so that their registers are free
            }
        }

        // q k^T or k k^T
        TILE_FN void squares(Square& acc, Tile<T, C, PANEL> (&left)[PANELS], Tile<T, C, PANEL> (&right)[PANELS]) {
            acc.fill(0);
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) {
                Reg<T, C, PANEL, GRADIENT_WARPS> x;
                x.load(left[h]);
                product(acc, x, t(right[h]));
            }
        }
        TILE_FN void scores(int i) {
            Chunk& x = s.chunk[i % 2];
            squares(y, x.q, x.k);
            const Factors& f = s.factors[i % 2];
            decays.for_each([&](float& d, int r, int c) { d = exp<T>(f.G.between(r, c)); });
        }

        TILE_FN void put(T* out, float* partial, Tile<T, C, PANEL>& by, const Keys& acc, int i, int h) {
            const Span rows = at.given(i);
            const int cols = a.K - h * PANEL;
            if (partial) {
                float* to = partial + (rows.row * a.HV + at.hv) * a.K + h * PANEL;
                store_global(to, (long long)a.HV * a.K, 1, acc, rows.count, cols);
            }
            if (!out) return;
            T* to = out + (rows.row * a.H + at.hk) * a.K + h * PANEL;
            store_global(to, (long long)a.H * a.K, by, acc, rows.count, cols);
        }

        // d_o w^T, d_q = scale diag(from the start) d_o S^T + d_scores k
        TILE_FN void queries(int i) {
            Chunk& x = s.chunk[i % 2];
            const Factors& f = s.factors[i % 2];
            const float(&beta)[C] = s.beta[i % 3];
            const float scale = a.scale;
            Pairs left;
            {
                Square d;
                d.fill(0);
                {
                    Tokens d_o;
                    d_o.load(x.d_o);
                    product(d, d_o, t(s.w));
                }
                zip(y, d, [](float& z, float p, int, int) { z *= p; });
                zip(d, decays, [&](float& z, float decay, int, int c) { z *= scale * beta[c] * decay; });
                keep_lower<false>(d);
                store(s.d_scores, d);
                left.round(d);
            }
            if (!a.d_q && !a.partial_q && !a.d_g) return;
            TILE_UNROLL
            for (int h = 0; h < PANELS; h++) {
                Keys dQ;
                dQ.fill(0);
                {
                    Tokens d_o;
                    d_o.load(x.d_o);
                    product(dQ, d_o, s.state[h]);
                }
                dQ.for_each([&](float& z, int r, int) { z *= scale * f.from_start[r]; });
                if (a.d_g) own_row_products(s.reads[i % 2][h], dQ, x.q[h]);
                product(dQ, left, x.k[h]);
                put(a.d_q, a.partial_q, s.d_system, dQ, i, h);
            }
        }

        // d_v w^T, and what Y says
        TILE_FN void system(int i) {
            Chunk& x = s.chunk[i % 2];
            const float(&beta)[C] = s.beta[i % 3];
            Square d, l;
            {
                Tokens d_v;
                d_v.load(s.d_v);
                d.fill(0);
                product(d, d_v, t(s.w));
            }
            squares(l, x.k, x.k);
            zip(l, d, [](float& z, float p, int, int) { z *= p; });
            clear_diagonal(l);  // no token reads what it writes
            const float scale = a.scale;
            zip(y, l, [scale](float& z, float p, int, int) { z = fused(scale, z, -p); });
            zip(y, decays, [](float& z, float decay, int, int) { z *= decay; });
            keep_lower<false>(y);
            zip(d, decays, [&](float& z, float decay, int, int c) { z *= -beta[c] * decay; });
            keep_lower<true>(d);
            store(s.d_system, d);
            if (a.d_beta) own_column_sums(s.columns, y, [](float z, int, int) { return z; });
            if (a.d_g) {
                y.for_each([&](float& z, int, int c) { z *= beta[c]; });
                own_crossing_sums(s.crossing, y);
            }
        }

        // d_k = beta diag(to the end) w dS'^T - diag(from the start) d_v S^T + d_scores^T q + (d_system + d_system^T) k
        TILE_FN void keys(int i) {
            Chunk& x = s.chunk[i % 2];
            const Factors& f = s.factors[i % 2];
            const float(&beta)[C] = s.beta[i % 3];
            TILE_ROLL
            for (int h = 0; h < PANELS; h++) {
                if (!a.d_k && !a.partial_k && !sums()) {
                    fetch_kept<GRADIENT_WARPS>(s, a, at, i + 1, h);
                    continue;
                }
                Keys dK, read;
                {
                    Tokens w, d_v;
                    w.load(s.w);
                    d_v.load(s.d_v);
                    dK.fill(0);
                    read.fill(0);
                    prepare(w, d_v, dK, read);
                    issue(dK, w, s.d_state[h]);
                    issue(read, d_v, s.state[h]);
                    settle(w, d_v, dK, read);
                }
                group_barrier<GRADIENT_WARPS>();
                fetch_kept<GRADIENT_WARPS>(s, a, at, i + 1, h);
                commit();
                dK.for_each([&](float& z, int r, int) { z *= f.to_end[r]; });
                if (sums()) own_row_products(s.written[h], dK, x.k[h]);
                read.for_each([&](float& z, int r, int) { z *= -f.from_start[r]; });
                if (a.d_g) own_row_products(s.removed[h], read, x.k[h]);
                zip(dK, read, [&](float& z, float p, int r, int) { z = z * beta[r] + p; });
                Pairs scores, later, earlier;
                scores.load(t(s.d_scores));
                later.load(s.d_system);
                earlier.load(t(s.d_system));
                prepare(scores, later, earlier, dK);
                issue(dK, scores, x.q[h]);
                issue(dK, later, x.k[h]);
                issue(dK, earlier, x.k[h]);
                settle(scores, later, earlier, dK);
                put(a.d_k, a.partial_k, x.out, dK, i, h);
            }
            commit();
            wait<0>();
        }

        TILE_FN void end() {}
    };

    static TILE_FN void run(Memory& s, const Args& a) {
        const Place at = place(a);
        if (at.part.idle || (!a.states && at.part.begins)) return;
        StateRole state{s, a, at};
        GradientRole gradients{s, a, at};
        lockstep<STATE_WARPS, GRADIENT_WARPS>(3 * at.chunks + 1, state, gradients);
    }
    static TILE_FN void run(float&, const Args&) {}
};

}  // namespace delta

using delta::GatedDeltaBackward;
#endif
