// The backward pass of kda in one kernel, for 16-bit operands, values no wider than a slice, and machines with room in
// shared memory, after a forward pass that keeps what this one needs (KdaKept):
//   KdaBackward   grid N * HV
// Chunks of C tokens go from the last to the first, each in three steps: gates are folded into keys and queries; the
// gradient of the state, which one role holds in registers, gives d_v; it passes through the chunk, while the other role
// makes the pairs' products, d_q, d_k, d_beta and d_g.
//
// Operands within a block of 16 tokens are relative to its beginning, as in the forward pass; those of two blocks meet at the
// boundary. A and B of kda_backward.h are times a power of two on their way through exp(G) and exp(-G), so that gradients may
// be as small as they like; what is read within a block has LIFT taken out and they have it instead.
#pragma once

#if !defined(TILE_HIP)
namespace kda {

template <class T>
struct BackwardArgs {
    const T *q, *k, *d_o;                    // [R, H, K] twice, [R, HV, V] or null
    const T *states, *w, *inverse, *scores;  // what KdaKept left
    const float *g, *beta;                   // [R, HV, K], [R, HV]
    const float* d_ht;                       // [N, HV, K, V] or null
    T *d_q, *d_k, *d_v;                      // [R, H, K] twice, [R, HV, V], each or null; when HV > H, instead of d_q and d_k
    float *partial_q, *partial_k;            // [R, HV, K], each or null
    float *d_g, *d_beta, *d_h0;              // [R, HV, K], [R, HV], [N, HV, K, V], each or null
    const long long *offsets, *chunks;
    int H, HV, K, V;
    float scale;
};
static_assert(sizeof(BackwardArgs<bf16>) == 20 * 8 + 5 * 4 + 4, "twin of BackwardArgs");

template <class T, int C, int K, int V>
struct KdaBackward {
    using Args = BackwardArgs<T>;
    static constexpr int STATE_WARPS = V / 16, GRADIENT_WARPS = 8, WARPS = STATE_WARPS + GRADIENT_WARPS, MIN_BLOCKS = 1;
    static constexpr int BLOCK = channels::BLOCK, BLOCKS = C / BLOCK, PARTS = 4;
    static constexpr float REACH = channels::REACH_OF_TWO<T>, LIFT = channels::LIFT<T>;
    static_assert(BLOCKS == 2, "two blocks meet");
    using State = Acc<V, K, STATE_WARPS>;  // transposed
    using Values = Acc<V, C, STATE_WARPS>;
    using Operand = Reg<T, V, C, STATE_WARPS>;
    using Keys = Acc<C, K, GRADIENT_WARPS>;
    using Squares = Acc<2 * C, C, GRADIENT_WARPS>;  // A, then B
    struct Chunk {
        Tile<T, C, K> q, k;  // and d_q and d_k after them
        Tile<float, C, K> g;  // and G, the sums from the beginning of the block, in powers of two
    };
    struct Operands {
        Tile<T, 2 * C, K> reads;         // E k, then scale E q
        Tile<T, C, K> near_k, near_q;    // exp(G) k, scale exp(G) q
        Tile<T, C, K> by;                // beta exp(-G) k / LIFT
        Tile<T, BLOCK, K> far;           // of the first block: beta k, decayed to its end, / LIFT
        Tile<T, C, K> written;           // F k; and d_v on its way out
    };
    // transposed, [j, i]: within blocks, and of the two blocks
    struct Pairs {
        Tile<T, C, C> within, across;
    };
    struct Sums {
        Tile<float, C, K> after, before;  // what crosses the gates up to a token, and those behind it
    };
    struct Memory {
        Chunk chunk[2];
        Tile<T, 2 * C, V> values;  // d_o, then d_v
        Tile<T, C, V> w;
        Tile<T, V, K> state;
        Tile<T, C, C> inverse, scores;
        Operands operands;
        union {
            Tile<T, V, K> d_state;
            Sums sums;
        };
        Pairs a, b;
        Two total[C / channels::STRAND][K / 2];
        float ends[BLOCKS * K], decay[BLOCKS][K];  // sums of gates over a block, exp of them
        float carried[PARTS][K], read_q[BLOCKS][K], read_k[BLOCKS][K], written[BLOCKS][K];
        float beta[2][C], sizes[2][2 * C], diagonal[C], d_beta[4][C];
    };
    // where it does not fit, nobody launches it
    static constexpr bool FITS = sizeof(Memory) <= TILE_SHARED_MOST;
    using Shared = typename Choose<FITS, Memory, float>::type;

    struct Place {
        long long row, length, first, state;
        int hv, hk, chunks;

        // i counts chunks from the last
        TILE_FN Span span(int i) const {
            const long long token = (long long)(chunks - 1 - i) * C, left = length - token;
            return {row + token, left < C ? (int)left : C};
        }
        TILE_FN long long kept(const Args& a, int i) const { return (first + chunks - 1 - i) * a.HV + hv; }
    };
    static TILE_FN Place place(const Args& a) {
        const int n = block_id() / a.HV, hv = block_id() % a.HV;
        const long long row = a.offsets[n], first = a.chunks[n];
        return {row, a.offsets[n + 1] - row, first, (long long)block_id() * a.K * a.V, hv, hv / (a.HV / a.H),
                (int)(a.chunks[n + 1] - first)};
    }

    struct StateRole {
        Memory& s;
        const Args& a;
        const Place& at;
        State D;
        Values dV;

        TILE_FN void fetch_keys(int i) {
            if (i >= at.chunks) return;
            Chunk& x = s.chunk[i % 2];
            const Span rows = at.span(i);
            const long long ld = (long long)a.H * a.K, key = rows.row * ld + (long long)at.hk * a.K;
            const long long head = rows.row * a.HV + at.hv;
            load_async<STATE_WARPS>(x.q, a.q + key, ld, rows.count, a.K);
            load_async<STATE_WARPS>(x.k, a.k + key, ld, rows.count, a.K);
            load_async<STATE_WARPS>(x.g, a.g + head * a.K, (long long)a.HV * a.K, rows.count, a.K);
            load_async<STATE_WARPS>(s.beta[i % 2], a.beta + head, a.HV, rows.count);
        }
        TILE_FN void fetch_values(int i) {
            const Span rows = at.span(i);
            const long long ld = (long long)a.HV * a.V, value = rows.row * ld + (long long)at.hv * a.V;
            const long long square = at.kept(a, i) * C * C;
            const T* d_o = a.d_o ? a.d_o : a.w;  // of the same shape, and not read then
            load_async<STATE_WARPS>(tile::rows<C>(s.values, 0), d_o + value, ld, rows.count, a.d_o ? a.V : 0);
            load_async<STATE_WARPS>(s.w, a.w + value, ld, rows.count, a.V);
            load_async<STATE_WARPS>(s.state, a.states + at.kept(a, i) * a.V * K, K, a.V, K);
            load_async<STATE_WARPS>(s.inverse, a.inverse + square, C, C, C);
            load_async<STATE_WARPS>(s.scores, a.scores + square, C, C, C);
        }

        TILE_FN void begin() {
            if (a.d_ht)
                load(D, a.d_ht + at.state, 1, a.V, a.V, a.K);
            else
                D.fill(0);
            fetch_keys(0);
            commit();
            wait<0>();
        }
        TILE_FN void ready() {}
        TILE_FN void step(int n) {
            const int i = n / 3;
            if (n % 3 == 0) {
                fetch_values(i);
                commit();
                store(s.d_state, D);
                wait<0>();
            } else if (n % 3 == 1) {
                fetch_keys(i + 1);
                commit();
                values(i);
                carry();
            } else {
                update(i);
                wait<0>();
            }
        }

        // d_v^T = (dS'^T (F k)^T + d_o^T P) diag(beta) X
        TILE_FN void values(int i) {
            const float(&beta)[C] = s.beta[i % 2];
            Values dU;
            dU.fill(0);
            auto left = operand<T>(D);
            prepare(left, dU);
            issue(dU, left, t(s.operands.written));
            settle(left, dU);
            Operand operand;
            auto&& d_o = rows<C>(s.values, 0);
            operand.load(t(d_o));
            mma(dU, operand, s.scores);
            dU.for_each([&](float& z, int, int j) { z *= beta[j]; });
            operand.round(dU);
            dV.fill(0);
            mma(dV, operand, s.inverse);
            auto&& d_v = rows<C>(s.values, 1);
            store(t(d_v), dV);
        }
        // what passes through the chunk, but for its decay
        TILE_FN void carry() {
            if (!a.d_g) return;
            for_each_index<STATE_WARPS, K / 2 * PARTS>([&](int n) {
                const int c = n % (K / 2) * 2, part = n / (K / 2);
                Two sum = {0, 0};
                for (int v = 0; v < V / PARTS; v++) {
                    const Two x = get(s.state, part * (V / PARTS) + v, c), y = get(s.d_state, part * (V / PARTS) + v, c);
                    sum = {fused(x.x, y.x, sum.x), fused(x.y, y.y, sum.y)};
                }
                s.carried[part][c] = sum.x, s.carried[part][c + 1] = sum.y;
            });
        }

        // dS = R dS' + scale d_o^T (E q) - d_v^T (E k), transposed
        TILE_FN void update(int i) {
            const Span here = at.span(i);
            Operand read, removed;
            auto&& d_o = rows<C>(s.values, 0);
            read.load(t(d_o));
            if (a.d_v) {
                const long long ld = (long long)a.HV * a.V, value = here.row * ld + (long long)at.hv * a.V;
                store_global(a.d_v + value, ld, t(s.operands.written), dV, here.count, a.V);
            }
            dV.for_each([](float& z, int, int) { z = -z; });
            removed.round(dV);
            D.for_each([&](float& z, int, int c) { z *= s.decay[0][c] * s.decay[1][c]; });
            prepare(read, removed, D);
            issue(D, read, rows<C>(s.operands.reads, 1));
            issue(D, removed, rows<C>(s.operands.reads, 0));
            settle(read, removed, D);
        }
        TILE_FN void end() {
            if (a.d_h0) store_global(a.d_h0 + at.state, 1, a.V, D, a.V, a.K);
        }
    };

    struct GradientRole {
        Memory& s;
        const Args& a;
        const Place& at;
        static constexpr int W = GRADIENT_WARPS;
        static constexpr int STRAND = channels::STRAND, ITEMS = K / 2 * (C / STRAND);
        static constexpr int OWNED = ITEMS > W * 32 ? ITEMS : W * 32;
        Keys d_q, written;
        float down;  // undoes what A and B are times

        TILE_FN bool wanted() const { return a.d_q || a.partial_q || a.d_k || a.partial_k || a.d_g || a.d_beta; }
        TILE_FN void begin() {}
        TILE_FN void ready() {}
        TILE_FN void step(int n) {
            if (n % 3 == 0)
                fold(s.chunk[n / 3 % 2], s.beta[n / 3 % 2]);
            else if (!wanted())
                return;
            else if (n % 3 == 1)
                states();
            else
                gradients(n / 3);
        }
        TILE_FN void end() {}

        struct Strand {
            Two G[STRAND];
        };
        template <class F>
        static TILE_FN void for_each_strand(Own<Strand, OWNED, W>& strands, F f) {
            strands.for_each([&](Strand& x, int n) {
                if (ITEMS == OWNED || n < ITEMS) f(x.G, n / (K / 2), n % (K / 2) * 2);
            });
        }
        static TILE_FN Two decay(const Two& x) { return {exp2(x.x), exp2(x.y)}; }
        static TILE_FN float rise(float G) { return channels::upward<T>(G) * (1 / LIFT); }

        TILE_FN void fold(Chunk& x, const float (&beta)[C]) {
            Own<Strand, OWNED, W> strands;
            for_each_strand(strands, [&](Two(&G)[STRAND], int strand, int c) {
                Two sum = {0, 0};
                TILE_UNROLL
                for (int i = 0; i < STRAND; i++) {
                    G[i] = sum = sum + channels::of_two(get(x.g, strand * STRAND + i, c));
                }
                s.total[strand][c / 2] = sum;
            });
            group_barrier<W>();
            d_q.fill(0), written.fill(0);  // not needed meanwhile, so that their registers are free
            for_each_strand(strands, [&](Two(&G)[STRAND], int strand, int c) {
                auto total = [&](int n) { return s.total[n][c / 2]; };
                const Two ends[2] = {total(0) + total(1), total(2) + total(3)};
                const bool odd = strand % 2, second = strand / 2;
                const Two before = odd ? total(strand - 1) : Two{0, 0}, end = second ? ends[1] : ends[0];
                const Two from = second ? decay(ends[0]) : Two{1, 1}, rest = second ? Two{1, 1} : decay(ends[1]);
                TILE_UNROLL
                for (int n = 0; n < STRAND; n++) {
                    const int i = strand * STRAND + n;
                    token(x, i, c, beta[i], before + G[n], end, from, rest, second);
                }
                if (odd) return;
                const Two whole = {exp<float>(end.x / channels::OF_TWO), exp<float>(end.y / channels::OF_TWO)};
                s.ends[second * K + c] = end.x, s.ends[second * K + c + 1] = end.y;
                s.decay[second][c] = whole.x, s.decay[second][c + 1] = whole.y;
            });
        }
        // from: the decay from the chunk's beginning to the block's; rest: from the block's end to the chunk's
        TILE_FN void token(Chunk& x, int i, int c, float beta, const Two& G, const Two& end, const Two& from, const Two& rest,
                           bool second) {
            Operands& y = s.operands;
            const Two k = get(x.k, i, c), q = get(x.q, i, c), down = decay(G), to_end = k * decay(end - G);
            const Two near_k = k * down, near_q = q * (down * a.scale), by = k * beta;
            put(x.g, i, c, G);
            put(y.near_k, i, c, near_k);
            put(y.near_q, i, c, near_q);
            put(y.reads, i, c, near_k * from);
            put(y.reads, C + i, c, near_q * from);
            put(y.written, i, c, to_end * rest);
            put(y.by, i, c, by * Two{rise(G.x), rise(G.y)});
            if (!second) put(y.far, i, c, to_end * (beta * (1 / LIFT)));
        }

        // what reads the state, and what is written into it
        TILE_FN void states() {
            mma(d_q, rows<C>(s.values, 0), s.state);
            mma(written, s.w, s.d_state);
        }

        TILE_FN void gradients(int i) {
            Chunk& x = s.chunk[i % 2];
            const float(&beta)[C] = s.beta[i % 2];
            const bool late = lowest(s.ends) < -REACH;
            pairs();
            Keys after;
            writes(x, beta, after, late);
            queries(x, beta, after, late, i);
            keys(x, beta, after, late, i);
            store(s.sums.after, after);
            group_barrier<W>();
            const Span here = at.span(i);
            const long long head = here.row * a.HV + at.hv, ld = (long long)a.H * a.K;
            const long long key = here.row * ld + (long long)at.hk * a.K;
            if (a.d_q) store_global<W>(a.d_q + key, ld, x.q, here.count, a.K);
            if (a.d_k) store_global<W>(a.d_k + key, ld, x.k, here.count, a.K);
            for_each_index<W, C>([&](int n) {
                const float sum = (s.d_beta[0][n] + s.d_beta[1][n]) + (s.d_beta[2][n] + s.d_beta[3][n]);
                if (a.d_beta && n < here.count) a.d_beta[head + (long long)n * a.HV] = sum;
            });
            if (!a.d_g) return;
            cross();
            group_barrier<W>();
            store_global<W>(a.d_g + head * a.K, (long long)a.HV * a.K, s.sums.after, here.count, a.K);
        }

        // A and -B, as operands
        TILE_FN void pairs() {
            Squares y;
            y.fill(0);
            mma(y, s.values, t(s.w));
            own_row_sums(s.sizes, y, [](float z, int r, int j) { return r % C < j ? 0.f : z < 0 ? z : -z; });
            group_barrier<W>();
            const float a = lowest(s.sizes[0]), b = lowest(s.sizes[1]), up = channels::unit(-(a + b));
            down = 1 / up;
            y.for_each([&](float& z, int r, int j) {
                const bool second = r >= C;
                const int i = r % C;
                Pairs& to = second ? s.b : s.a;
                if (r == j) s.diagonal[j] = z;
                const float most = (second ? -z : z) * up * LIFT;
                const bool same = i / BLOCK == j / BLOCK;
                to.within.set(j, i, same && i > j ? most : 0.f);
                to.across.set(j, i, !same && i > j ? most : 0.f);
            });
            group_barrier<W>();
        }

        // What later tokens read of what a token wrote, and what the state behind the chunk has of it. Of d_g here and
        // below: a gate is crossed by what tokens from it on read within their block, less what is read of them there, pairs
        // on one side of it cancelling to the accuracy of f32 sums, because both of their terms are of the same rounded
        // operands; nothing else cancels.
        TILE_FN void writes(Chunk& x, const float (&beta)[C], Keys& after, bool late) {
            const Operands& o = s.operands;
            const float scale = a.scale, down = this->down;
            Keys y, before;
            y.fill(0);
            mma<UPPER_A>(y, s.a.across, o.near_q);
            mma<UPPER_A>(y, s.b.across, o.near_k);
            auto decayed = [&](float G, int i, int c, float& w, float& z) {
                const float to_end = exp2(s.ends[i / BLOCK * K + c] - G);
                w *= to_end * (i < BLOCK ? s.decay[1][c] : 1.f);
                z = z * (to_end * (1 / LIFT)) * down;
            };
            zip_all(x.g, decayed, written, y);
            auto crossing = [&](float k, int i, int, float& w, float& z, float& b) {
                const float own = beta[i] * k, state = w;
                w += z;
                b = own * w;
                z = own * state;
            };
            zip_all(x.k, crossing, written, y, before);
            store(s.sums.before, before);
            own_column_sums(s.written, y, [](float z, int, int) { return z; });
            y.fill(0);
            mma<UPPER_A>(y, s.a.within, o.near_q);
            mma<UPPER_A>(y, s.b.within, o.near_k);
            zip_all(o.by, [down](float by, int, int, float& z, float& d) { d = -(z * by) * down; }, y, after);
            zip_all(x.g, [down](float G, int, int, float& z, float& w) { w += z * rise(G) * down; }, y, written);
            if (late) late_writes(x, beta, after);
            zip(written, x.q, [&](float& z, float q, int i, int) { z += s.diagonal[i] * scale * q; });
            auto of_beta = [&](float k, int i, int, float& w, float& z) {
                z = k * w;
                w *= beta[i];
            };
            zip_all(x.k, of_beta, written, y);
            own_row_sums(s.d_beta, y, [](float z, int, int) { return z; });
        }

        TILE_FN void queries(Chunk& x, const float (&beta)[C], Keys& after, bool late, int n) {
            const float scale = a.scale;
            Keys y;
            reads(d_q, y, after, s.read_q, s.a, s.operands.near_q, x, x.q, scale);
            if (late) late_reads(d_q, after, s.a, x, beta, x.q, scale);
            zip_all(x.k, [&](float k, int i, int, float& z, float& d) { z += d + s.diagonal[i] * scale * (beta[i] * k); }, d_q, y);
            give(a.partial_q, x.q, d_q, n);
        }
        TILE_FN void keys(Chunk& x, const float (&beta)[C], Keys& after, bool late, int n) {
            Keys y;
            d_q.fill(0);
            mma(d_q, rows<C>(s.values, 1), s.state);
            d_q.for_each([](float& z, int, int) { z = -z; });
            reads(d_q, y, after, s.read_k, s.b, s.operands.near_k, x, x.k, 1);
            if (late) late_reads(d_q, after, s.b, x, beta, x.k, 1);
            zip(d_q, y, [](float& z, float d, int, int) { z += d; });
            zip(d_q, written, [](float& z, float d, int, int) { z += d; });
            give(a.partial_k, x.k, d_q, n);
        }
        // what a token reads: d of the state, y of earlier tokens
        TILE_FN void reads(Keys& d, Keys& y, Keys& after, float (&sums)[BLOCKS][K], Pairs& p, const Tile<T, C, K>& near,
                           Chunk& x, const Tile<T, C, K>& by, float scale) {
            const Operands& o = s.operands;
            const float down = this->down;
            const auto& left = rows<BLOCK>(p.across, 0);
            y.fill(0);
            mma(y, t(left), o.far);
            mma<LOWER_A>(y, t(p.within), o.by);
            zip_all(near, [down](float n, int, int, float& z, float& cross) { cross += z * n * down; }, y, after);
            auto decayed = [&](float G, int i, int c, float& d, float& z) {
                const float decay = scale * exp2(G);
                d *= decay * (i < BLOCK ? 1.f : s.decay[0][c]);
                z = z * decay * down;
            };
            zip_all(x.g, decayed, d, y);
            Keys own;
            auto crossing = [](float q, int, int, float& z, float& d, float& cross) {
                z = q * d;
                cross += z;
            };
            zip_all(by, crossing, own, d, after);
            own_column_sums(sums, own, [](float z, int, int) { return z; });
        }

        // What late channels add, pair by pair, by way of memory that d_g will take; seldom, and apart from the loops above.
        TILE_FN void late_reads(Keys& d, Keys& after, const Pairs& p, Chunk& x, const float (&beta)[C], const Tile<T, C, K>& by,
                                float scale) {
            group_barrier<W>();
            for_each_rolled<W>(C * K, [&](int n) {
                const int i = n / K, c = n % K;
                float sum = 0;
                TILE_ROLL
                for (int j = i / BLOCK * BLOCK; j < i; j++) {
                    const float G = x.g.at(j, c);
                    if (G < -REACH) sum += p.within.at(j, i) * beta[j] * x.k.at(j, c) * exp2(x.g.at(i, c) - G);
                }
                s.sums.after.set(i, c, sum * (scale / LIFT) * down);
            });
            group_barrier<W>();
            zip(d, s.sums.after, [](float& z, float d, int, int) { z += d; });
            zip(after, s.sums.after, [&](float& z, float d, int i, int c) { z += by.at(i, c) * d; });
        }
        TILE_FN void late_writes(Chunk& x, const float (&beta)[C], Keys& after) {
            group_barrier<W>();
            for_each_rolled<W>(C * K, [&](int n) {
                const int j = n / K, c = n % K;
                const float G = x.g.at(j, c);
                const int end = G < -REACH ? j / BLOCK * BLOCK + BLOCK : 0;
                float sum = 0;
                TILE_ROLL
                for (int i = j + 1; i < end; i++) {
                    const float read = s.a.within.at(j, i) * a.scale * x.q.at(i, c) + s.b.within.at(j, i) * x.k.at(i, c);
                    sum += read * exp2(x.g.at(i, c) - G);
                }
                s.sums.after.set(j, c, sum * (1 / LIFT) * down);
            });
            group_barrier<W>();
            zip(written, s.sums.after, [](float& z, float d, int, int) { z += d; });
            zip(after, s.sums.after, [&](float& z, float d, int j, int c) { z -= beta[j] * x.k.at(j, c) * d; });
        }

        // in the place of what it is the gradient of
        TILE_FN void give(float* partial, Tile<T, C, K>& to, const Keys& acc, int n) {
            const Span here = at.span(n);
            if (partial) {
                float* out = partial + (here.row * a.HV + at.hv) * a.K;
                store_global(out, (long long)a.HV * a.K, 1, acc, here.count, a.K);
            }
            store(to, acc);
        }
        // d_g, in place of after
        TILE_FN void cross() {
            for_each_index<W, BLOCKS * K>([&](int n) {
                const int c = n % K, block = n / K, first = block * BLOCK;
                float carried = 0, run = 0;
                TILE_UNROLL
                for (int p = 0; p < PARTS; p++) carried += s.carried[p][c];
                carried *= s.decay[0][c] * s.decay[1][c];
                carried += block ? s.written[0][c] : s.read_q[1][c] + s.read_k[1][c];
                float y[BLOCK];
                TILE_UNROLL
                for (int i = BLOCK - 1; i >= 0; i--) y[i] = run += s.sums.after.at(first + i, c);
                run = carried;
                TILE_UNROLL
                for (int i = 0; i < BLOCK; i++) {
                    s.sums.after.set(first + i, c, y[i] + run);
                    run += s.sums.before.at(first + i, c);
                }
            });
        }
    };

    static TILE_FN void run(Memory& s, const Args& a) {
        const Place at = place(a);
        StateRole state{s, a, at};
        GradientRole gradients{s, a, at};
        lockstep<STATE_WARPS, GRADIENT_WARPS>(3 * at.chunks, state, gradients);
    }
    static TILE_FN void run(float&, const Args&) {}
};

}  // namespace kda

using kda::KdaBackward;
#endif
