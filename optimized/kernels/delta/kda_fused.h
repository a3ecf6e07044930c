// The backward pass of kda in one kernel, for 16-bit operands, values no wider than a slice, and machines with room in
// shared memory, after a forward pass that keeps what this one needs (KdaKept):
//   KdaBackward   grid N * HV, of pieces P * HV
// Chunks of C tokens go from the last to the first, each in three steps: gates are folded into keys and queries; the
// gradient of the state, which one role holds in registers, gives d_v; it passes through the chunk, while the other role
// makes the pairs' products, d_q, d_k, d_beta and d_g. Without states it only takes the gradient of the state through each
// piece but the first of a sequence.
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
    const T *states, *w, *inverse, *scores;  // what KdaKept left; states null: only d_h0 is wanted, by piece
    const float *g, *beta;                   // [R, HV, K], [R, HV]
    const float* d_ht;                       // [N, HV, K, V] or null
    T *d_q, *d_k, *d_v;                      // [R, H, K] twice, [R, HV, V], each or null; when HV > H, instead of the first
    float *partial_q, *partial_k;            // [R, HV, K], each or null
    float *d_g, *d_beta, *d_h0;              // [R, HV, K], [R, HV], [N, HV, K, V], each or null
    const long long *offsets, *chunks;
    const int* owners;  // as in FusedArgs; d_h0 belongs to sequences, the rest to pieces
    const long long* firsts;
    const long long* windows;  // part.h
    int H, HV, K, V, entering;
    float scale;
};
static_assert(sizeof(BackwardArgs<bf16>) == 23 * 8 + 6 * 4, "twin of BackwardArgs");

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
    // of blocks: sums, and decays; and what else is known of a chunk before its turn
    struct Gates {
        float ends[BLOCKS * K], decay[BLOCKS][K], beta[C];
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
        Gates gates[2];
        float carried[PARTS][K], read_q[BLOCKS][K], read_k[BLOCKS][K], written[BLOCKS][K];
        float sizes[2][2 * C], diagonal[C], d_beta[4][C];
    };
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

    // Operands of a block's tokens, by W warps
    template <int W, int B>
    static TILE_FN void fold(Memory& s, Chunk& x, const Gates& gates, float scale) {
        for_each_index<W, BLOCK * K / 2>([&](int n) {
            const int i = B * BLOCK + n / (K / 2), c = n % (K / 2) * 2;
            const auto pair = [c](const float* y) { return Two{y[c], y[c + 1]}; };
            const Two G = get(x.g, i, c), k = get(x.k, i, c), q = get(x.q, i, c), end = pair(gates.ends + B * K);
            const Two down = decay(G), to_end = k * decay(end - G), near_k = k * down, near_q = q * (down * scale);
            Operands& y = s.operands;
            put(y.near_k, i, c, near_k);
            put(y.near_q, i, c, near_q);
            put(y.reads, i, c, B ? near_k * pair(gates.decay[0]) : near_k);
            put(y.reads, C + i, c, B ? near_q * pair(gates.decay[0]) : near_q);
            put(y.written, i, c, B ? to_end : to_end * pair(gates.decay[1]));
            put(y.by, i, c, k * gates.beta[i] * Two{rise(G.x), rise(G.y)});
            if (!B) put(y.far, i, c, to_end * (gates.beta[i] * (1 / LIFT)));
        });
    }
    static TILE_FN Two decay(const Two& x) { return {channels::power(x.x), channels::power(x.y)}; }
    static TILE_FN float rise(float G) { return channels::upward<T>(G) * (1 / LIFT); }

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
            load_async<STATE_WARPS>(s.gates[i % 2].beta, a.beta + head, a.HV, rows.count);
        }
        TILE_FN void fetch_values(int i) {
            const Span rows = at.span(i);
            const long long ld = (long long)a.HV * a.V, value = rows.row * ld + (long long)at.hv * a.V;
            const long long square = at.kept(a, i) * C * C;
            const T* d_o = a.d_o ? a.d_o : a.w;  // of the same shape, and not read then
            load_async<STATE_WARPS>(tile::rows<C>(s.values, 0), d_o + value, ld, rows.count, a.d_o ? a.V : 0);
            load_async<STATE_WARPS>(s.inverse, a.inverse + square, C, C, C);
            load_async<STATE_WARPS>(s.scores, a.scores + square, C, C, C);
            if (!a.states) return;
            load_async<STATE_WARPS>(s.w, a.w + value, ld, rows.count, a.V);
            load_async<STATE_WARPS>(s.state, a.states + at.kept(a, i) * a.V * K, K, a.V, K);
        }

        TILE_FN void begin() {
            if (a.d_ht && at.part.enters)
                load(D, a.d_ht + at.state, 1, a.V, a.V, a.K);
            else
                D.fill(0);
            fetch_keys(0);
            commit();
            wait<0>();
        }
        TILE_FN void ready() { sums(0); }
        TILE_FN void step(int n) {
            const int i = n / 3;
            if (n % 3 == 0) {
                fetch_values(i);
                commit();
                store(s.d_state, D);
                fold<STATE_WARPS, 1>(s, s.chunk[i % 2], s.gates[i % 2], a.scale);
                wait<0>();
            } else if (n % 3 == 1) {
                fetch_keys(i + 1);
                commit();
                values(i);
                carry();
            } else {
                update(i);
                wait<0>();
                group_barrier<STATE_WARPS>();
                sums(i + 1);
            }
        }
        // of gates, from the beginning of the block to each token
        TILE_FN void sums(int i) {
            if (i >= at.chunks) return;
            Tile<float, C, K>& g = s.chunk[i % 2].g;
            Gates& gates = s.gates[i % 2];
            for_each_index<STATE_WARPS, BLOCKS * K>([&](int n) {
                const int c = n % K, b = n / K;
                float sum = 0;
                TILE_UNROLL
                for (int r = 0; r < BLOCK; r++) {
                    sum += channels::least(g.at(b * BLOCK + r, c)) * channels::OF_TWO;
                    g.set(b * BLOCK + r, c, sum);
                }
                gates.ends[n] = sum;
                gates.decay[b][c] = exp<float>(sum / channels::OF_TWO);
            });
        }

        // d_v^T = (dS'^T (F k)^T + d_o^T P) diag(beta) X
        TILE_FN void values(int i) {
            const float(&beta)[C] = s.gates[i % 2].beta;
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
                    const int r = part * (V / PARTS) + v;
                    const Two x = get(s.state, r, c), y = get(s.d_state, r, c);
                    sum = {fused(x.x, y.x, sum.x), fused(x.y, y.y, sum.y)};
                }
                s.carried[part][c] = sum.x, s.carried[part][c + 1] = sum.y;
            });
        }

        // dS = R dS' + scale d_o^T (E q) - d_v^T (E k), transposed
        TILE_FN void update(int i) {
            const Span here = at.given(i);
            Operand read, removed;
            auto&& d_o = rows<C>(s.values, 0);
            read.load(t(d_o));
            if (a.d_v) {
                const long long ld = (long long)a.HV * a.V, value = here.row * ld + (long long)at.hv * a.V;
                store_global(a.d_v + value, ld, t(s.operands.written), dV, here.count, a.V);
            }
            dV.for_each([](float& z, int, int) { z = -z; });
            removed.round(dV);
            const Gates& gates = s.gates[i % 2];
            D.for_each([&](float& z, int, int c) { z *= gates.decay[0][c] * gates.decay[1][c]; });
            prepare(read, removed, D);
            issue(D, read, rows<C>(s.operands.reads, 1));
            issue(D, removed, rows<C>(s.operands.reads, 0));
            settle(read, removed, D);
        }
        TILE_FN void end() {
            if (!a.d_h0 || (a.states && !at.part.begins)) return;
            const long long head = (long long)at.part.sequence * a.HV + at.hv;
            store_global(a.d_h0 + (a.states ? head * a.K * a.V : at.state), 1, a.V, D, a.V, a.K);
        }
    };

    struct GradientRole {
        Memory& s;
        const Args& a;
        const Place& at;
        static constexpr int W = GRADIENT_WARPS;
        Keys d_q, written;
        float down;  // undoes what A and B are times

        TILE_FN bool wanted() const { return a.d_q || a.partial_q || a.d_k || a.partial_k || a.d_g || a.d_beta; }
        TILE_FN void begin() {}
        TILE_FN void ready() {}
        TILE_FN void step(int n) {
            const Gates& gates = s.gates[n / 3 % 2];
            Chunk& x = s.chunk[n / 3 % 2];
            if (n % 3 == 0) {
                KdaBackward::fold<W, 0>(s, x, gates, a.scale);
                d_q.fill(0), written.fill(0);  // not needed meanwhile, so that their registers are free
            } else if (!wanted()) {
                return;
            } else if (n % 3 == 1) {
                states(x, gates);
            } else {
                gradients(x, gates, n / 3);
            }
        }
        TILE_FN void end() {}

        // what reads the state, and what is written into it
        TILE_FN void states(Chunk& x, const Gates& gates) {
            mma(d_q, rows<C>(s.values, 0), s.state);
            from_state(d_q, s.read_q, x, gates, x.q, a.scale);
            mma(written, s.w, s.d_state);
            auto decayed = [&](float G, int i, int c, float& w) {
                w *= channels::power(gates.ends[i / BLOCK * K + c] - G) * (i < BLOCK ? gates.decay[1][c] : 1.f);
            };
            zip_all(x.g, decayed, written);
            Keys own;
            zip_all(x.k, [&](float k, int i, int, float& z, float& w) { z = gates.beta[i] * k * w; }, own, written);
            own_column_sums(s.written, own, [](float z, int, int) { return z; });
        }
        TILE_FN void from_state(Keys& d, float (&sums)[BLOCKS][K], Chunk& x, const Gates& gates,
                                const Tile<T, C, K>& by, float scale) {
            auto decayed = [&](float G, int i, int c, float& d) {
                d *= scale * channels::power(G) * (i < BLOCK ? 1.f : gates.decay[0][c]);
            };
            zip_all(x.g, decayed, d);
            Keys own;
            zip_all(by, [](float q, int, int, float& z, float& d) { z = q * d; }, own, d);
            own_column_sums(sums, own, [](float z, int, int) { return z; });
        }

        TILE_FN void gradients(Chunk& x, const Gates& gates, int i) {
            const bool late = lowest(gates.ends) < -REACH;
            pairs();
            Keys after;
            writes(x, gates, after, late);
            queries(x, gates, after, late, i);
            keys(x, gates, after, late, i);
            store(s.sums.after, after);
            group_barrier<W>();
            const Span here = at.given(i);
            const long long head = here.row * a.HV + at.hv, ld = (long long)a.H * a.K;
            const long long key = here.row * ld + (long long)at.hk * a.K;
            if (a.d_q) store_global<W>(a.d_q + key, ld, x.q, here.count, a.K);
            if (a.d_k) store_global<W>(a.d_k + key, ld, x.k, here.count, a.K);
            for_each_index<W, C>([&](int n) {
                const float sum = (s.d_beta[0][n] + s.d_beta[1][n]) + (s.d_beta[2][n] + s.d_beta[3][n]);
                if (a.d_beta && n < here.count) a.d_beta[head + (long long)n * a.HV] = sum;
            });
            if (!a.d_g) return;
            cross(gates);
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
        TILE_FN void writes(Chunk& x, const Gates& gates, Keys& after, bool late) {
            const Operands& o = s.operands;
            const float scale = a.scale, down = this->down;
            Keys y, before;
            y.fill(0);
            mma<UPPER_A>(y, s.a.across, o.near_q);
            mma<UPPER_A>(y, s.b.across, o.near_k);
            auto decayed = [&](float G, int i, int c, float& z) {
                z = z * (channels::power(gates.ends[i / BLOCK * K + c] - G) * (1 / LIFT)) * down;
            };
            zip_all(x.g, decayed, y);
            auto crossing = [&](float k, int i, int, float& w, float& z, float& b) {
                w += z;
                b = gates.beta[i] * k * w;
            };
            zip_all(x.k, crossing, written, y, before);
            store(s.sums.before, before);
            y.fill(0);
            mma<UPPER_A>(y, s.a.within, o.near_q);
            mma<UPPER_A>(y, s.b.within, o.near_k);
            zip_all(o.by, [down](float by, int, int, float& z, float& d) { d = -(z * by) * down; }, y, after);
            zip_all(x.g, [down](float G, int, int, float& z, float& w) { w += z * rise(G) * down; }, y, written);
            if (late) late_writes(x, gates, after);
            zip(written, x.q, [&](float& z, float q, int i, int) { z += s.diagonal[i] * scale * q; });
            auto of_beta = [&](float k, int i, int, float& w, float& z) {
                z = k * w;
                w *= gates.beta[i];
            };
            zip_all(x.k, of_beta, written, y);
            own_row_sums(s.d_beta, y, [](float z, int, int) { return z; });
        }

        TILE_FN void queries(Chunk& x, const Gates& gates, Keys& after, bool late, int n) {
            const float scale = a.scale;
            Keys y;
            reads(y, after, s.a, s.operands.near_q, x, scale);
            zip_all(x.q, [](float q, int, int, float& d, float& cross) { cross += q * d; }, d_q, after);
            if (late) late_reads(d_q, after, s.a, x, gates, x.q, scale);
            auto own = [&](float k, int i, int, float& z, float& d) {
                z += d + s.diagonal[i] * scale * (gates.beta[i] * k);
            };
            zip_all(x.k, own, d_q, y);
            give(a.partial_q, x.q, d_q, n);
        }
        TILE_FN void keys(Chunk& x, const Gates& gates, Keys& after, bool late, int n) {
            Keys y;
            d_q.fill(0);
            mma(d_q, rows<C>(s.values, 1), s.state);
            from_state(d_q, s.read_k, x, gates, x.k, -1);
            reads(y, after, s.b, s.operands.near_k, x, 1);
            auto crossing = [](float k, int, int, float& d, float& z, float& cross) {
                cross += k * d;
                d += z;
            };
            zip_all(x.k, crossing, d_q, y, after);
            if (late) late_reads(d_q, after, s.b, x, gates, x.k, 1);
            zip(d_q, written, [](float& z, float d, int, int) { z += d; });
            give(a.partial_k, x.k, d_q, n);
        }
        // what a token reads of earlier ones
        TILE_FN void reads(Keys& y, Keys& after, Pairs& p, const Tile<T, C, K>& near, Chunk& x, float scale) {
            const Operands& o = s.operands;
            const float down = this->down;
            const auto& left = rows<BLOCK>(p.across, 0);
            y.fill(0);
            mma(y, t(left), o.far);
            mma<LOWER_A>(y, t(p.within), o.by);
            zip_all(near, [down](float n, int, int, float& z, float& cross) { cross += z * n * down; }, y, after);
            zip_all(x.g, [&](float G, int, int, float& z) { z = z * (scale * channels::power(G)) * down; }, y);
        }

        // What late channels add, pair by pair, by way of memory that d_g will take; seldom, and apart from the loops above.
        TILE_FN void late_reads(Keys& d, Keys& after, const Pairs& p, Chunk& x, const Gates& gates, const Tile<T, C, K>& by,
                                float scale) {
            group_barrier<W>();
            for_each_rolled<W>(C * K, [&](int n) {
                const int i = n / K, c = n % K;
                float sum = 0;
                TILE_ROLL
                for (int j = i / BLOCK * BLOCK; j < i; j++) {
                    const float G = x.g.at(j, c);
                    if (G >= -REACH) continue;
                    sum += p.within.at(j, i) * gates.beta[j] * x.k.at(j, c) * channels::power(x.g.at(i, c) - G);
                }
                s.sums.after.set(i, c, sum * (scale / LIFT) * down);
            });
            group_barrier<W>();
            zip(d, s.sums.after, [](float& z, float d, int, int) { z += d; });
            zip(after, s.sums.after, [&](float& z, float d, int i, int c) { z += by.at(i, c) * d; });
        }
        TILE_FN void late_writes(Chunk& x, const Gates& gates, Keys& after) {
            group_barrier<W>();
            for_each_rolled<W>(C * K, [&](int n) {
                const int j = n / K, c = n % K;
                const float G = x.g.at(j, c);
                const int end = G < -REACH ? j / BLOCK * BLOCK + BLOCK : 0;
                float sum = 0;
                TILE_ROLL
                for (int i = j + 1; i < end; i++) {
                    const float of_q = s.a.within.at(j, i) * a.scale * x.q.at(i, c);
                    sum += (of_q + s.b.within.at(j, i) * x.k.at(i, c)) * channels::power(x.g.at(i, c) - G);
                }
                s.sums.after.set(j, c, sum * (1 / LIFT) * down);
            });
            group_barrier<W>();
            zip(written, s.sums.after, [](float& z, float d, int, int) { z += d; });
            zip(after, s.sums.after, [&](float& z, float d, int j, int c) { z -= gates.beta[j] * x.k.at(j, c) * d; });
        }

        // in the place of what it is the gradient of
        TILE_FN void give(float* partial, Tile<T, C, K>& to, const Keys& acc, int n) {
            const Span here = at.given(n);
            if (partial) {
                float* out = partial + (here.row * a.HV + at.hv) * a.K;
                store_global(out, (long long)a.HV * a.K, 1, acc, here.count, a.K);
            }
            store(to, acc);
        }
        // d_g, in place of after
        TILE_FN void cross(const Gates& gates) {
            for_each_index<W, BLOCKS * K>([&](int n) {
                const int c = n % K, block = n / K, first = block * BLOCK;
                float carried = 0, run = 0;
                TILE_UNROLL
                for (int p = 0; p < PARTS; p++) carried += s.carried[p][c];
                carried *= gates.decay[0][c] * gates.decay[1][c];
                carried += block ? s.written[0][c] : s.read_q[1][c] + s.read_k[1][c];
                float after[BLOCK], before[BLOCK];
                TILE_UNROLL
                for (int i = 0; i < BLOCK; i++) {
                    after[i] = s.sums.after.at(first + i, c);
                    before[i] = s.sums.before.at(first + i, c);
                }
                TILE_UNROLL
                for (int i = BLOCK - 1; i >= 0; i--) after[i] = run += after[i];
                run = carried;
                TILE_UNROLL
                for (int i = 0; i < BLOCK; i++) {
                    s.sums.after.set(first + i, c, after[i] + run);
                    run += before[i];
                }
            });
        }
    };

    static TILE_FN void run(Memory& s, const Args& a) {
        const Place at = place(a);
        if (at.part.idle || (!a.states && at.part.begins)) return;
        StateRole state{s, a, at};
        GradientRole gradients{s, a, at};
        lockstep<STATE_WARPS, GRADIENT_WARPS, 136>(3 * at.chunks, state, gradients);
    }
    static TILE_FN void run(float&, const Args&) {}
};

}  // namespace kda

using kda::KdaBackward;
#endif
