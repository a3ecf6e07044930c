// gla's backward pass in one kernel, for 16-bit operands, values no wider than a slice, no gates of values, and
// machines with room in shared memory. Chunks go from the last to the first, each in four steps. The gradient of the
// state stays on the chip: one role holds it in registers, leaves a copy of it in shared memory before it changes, and
// makes d_v; the other folds gates and makes the pairs' products, d_q, d_k and d_g. States before the chunks come from
// the forward pass.
//
// The copy has decayed over the chunk, so that k~ stands for k^ and one factor exp(-G) for both shares of d_k. In a
// late chunk, where the gates of some channel sum up to less than -reach, it has not, and k^ is needed. Where nothing
// comes from behind the chunk, both give the same bits for tokens that are not late, because no gradient may depend on
// later gates. GlaBackward has no code for late chunks: a block that meets one gives up and says so, and GlaBackwardLate
// begins it anew.
#pragma once
#include "gla_backward.h"

#if !defined(TILE_HIP)
namespace gla {

template <class T>
struct BackwardArgs {
    const T *q, *k, *v, *d_o, *g;       // [B T, H, K] twice, [B T, H, V] twice, as k; d_o and g may be null
    const float *h0, *d_ht;             // [N, H, K, V] or null; without h0 the first token's gates scale nothing
    const T* states;                    // [total, H, V, K]: before every chunk
    T *d_q, *d_k, *d_v, *d_g;           // as q, k, v, g; each may be null
    float* d_h0;                        // [N, H, K, V] or null
    long long* late;                    // [blocks]: which of them are GlaBackwardLate's
    const long long *offsets, *chunks;  // [P + 1] each
    const int* owners;  // of pieces, to which the chunks belong then: part.h; null where nothing is cut
    const long long* firsts;
    const long long* windows;
    int H, K, V, slices, reverse, entering;
    float scale;
};
static_assert(sizeof(BackwardArgs<bf16>) == 184, "the launcher's twin must match");

template <class T, int C, int K, int V, bool LATE>
struct Backward {
    using Args = BackwardArgs<T>;
    static constexpr int STATE_WARPS = V / 16, PAIR_WARPS = 8, GROUP = C / 16, WARPS = STATE_WARPS + PAIR_WARPS;
    static constexpr int MIN_BLOCKS = 1, SLICE = 64;
    static_assert(PAIR_WARPS == 2 * GROUP, "a group each for d_q and d_k");
    static constexpr float REACH = gla::REACH<T, false>;
    using State = Acc<V, K, STATE_WARPS>;
    using Values = Acc<V, C, STATE_WARPS>;
    using Keys = Acc<C, K, GROUP>;
    using Square = Acc<C, C, GROUP>;
    using Gates = Columns<C, K, PAIR_WARPS>;
    using Through = Columns<V, K, STATE_WARPS>;
    struct Operands {
        Tile<T, C, K> q, k;  // scale q^, k~; then the gradients of q and k
    };
    struct Pairs {
        Tile<T, C, C> p, d_p;
    };
    struct Memory {
        Operands keys[2];
        Tile<T, C, K> g;       // gates; in a late chunk k^ after them
        Tile<T, C, V> v, d_o;  // v, and d_v after it
        union {
            Tile<T, V, K> state;
            Tile<float, C, K> more;  // room for a late chunk's gradients
        };
        union {
            Tile<T, V, K> d_state;
            Tile<float, C, K> left;  // what tokens leave to the state after the chunk
        };
        Tile<float, C, K> G;  // and what the gates' gradient gets of pairs and of what enters, after it
        union {
            Pairs pairs;
            float scratch[Gates::SCRATCH];
            Tile<T, C, K> d_g;
        };
        float decay[K];
        float through[Through::SCRATCH];
        int late;  // whether this chunk's channels are
        int met;   // without LATE: the step that met such a chunk
    };
    // where it does not fit, nobody launches it
    static constexpr bool FITS = sizeof(Memory) <= TILE_SHARED_MOST;
    using Shared = If<FITS, Memory, float>;

    struct StateRole {
        Memory& s;
        const Args& a;
        const Place<Args, true>& at;
        State D;
        Values dV;
        bool late;

        TILE_FN int chunk(int i) const { return at.chunks - 1 - i; }
        TILE_FN void fetch_values(int i) {
            if (i < at.chunks) {
                fetch_rows<STATE_WARPS>(s.v, a.v, at, a.H, chunk(i) * C, a.V, 0);
                fetch_rows<STATE_WARPS>(s.d_o, a.d_o, at, a.H, chunk(i) * C, a.V, 0);
            }
            commit();
        }
        TILE_FN void fetch_state(int i) {
            if (i < at.chunks) load_async<STATE_WARPS>(s.state, a.states + at.kept(a, chunk(i)), a.K, a.V, a.K);
            commit();
        }
        TILE_FN void begin() {
            if (a.d_ht && at.part.enters)
                load(D, a.d_ht + at.state, 1, a.V, a.V, a.K);
            else
                D.fill(0);
            late = false;
            fetch_values(0);
            fetch_state(0);
        }
        TILE_FN void ready() {}
        TILE_FN void step(int n) {
            const int i = n >> 2, phase = n & 3;
            if (phase == 0) {
                if (late) fetch_state(i);
                wait<0>();
            } else if (phase == 1) {
                late = LATE && s.late;
                before(i);
            } else if (phase == 2) {
                after(i);
            } else {
                leave(i);
            }
        }
        // dV^T = dS'^T k^T
        TILE_FN void before(int i) {
            const float(&decay)[K] = s.decay;
            if (!late) D.for_each([&](float& y, int, int c) { y *= decay[c]; });
            store(s.d_state, D);
            dV.fill(0);
            product(dV, rounded<T>(D), t(late ? s.g : s.keys[i % 2].k));
            if (late) D.for_each([&](float& y, int, int c) { y *= decay[c]; });
            if (!a.d_g) return;
            group_barrier<STATE_WARPS>();
            products_down<STATE_WARPS>(s.state, s.d_state, s.through, [&](int c) { return late ? decay[c] : 1.f; });
        }
        // dV^T = dV^T + dO^T P,   dS^T = dS^T + dO^T q^
        TILE_FN void after(int i) {
            Reg<T, V, C, STATE_WARPS> d_o;
            d_o.load(t(s.d_o));
            prepare(d_o, dV, D);
            issue(dV, d_o, s.pairs.p);
            issue(D, d_o, s.keys[i % 2].q);
            settle(d_o, dV, D);
        }
        TILE_FN void leave(int i) {
            if (a.d_v) {
                const int token = chunk(i) * C;
                const Rows<T> out(a.d_v, at.seq, token, a.H, at.h, a.V);
                store_global(out.ptr, out.ld, t(s.v), dV, at.given(chunk(i), at.seq.length - token), a.V);
            }
            group_barrier<STATE_WARPS>();
            fetch_values(i + 1);
            if (!late) fetch_state(i + 1);
        }
        TILE_FN void end() {
            if constexpr (!LATE) {
                const bool met = s.met < NOT_YET;
                for_each_index<STATE_WARPS, 1>([&](int) { a.late[block_id()] = met; });
                if (met) return;
            }
            if (a.d_h0 && at.leaves(a)) store_global(a.d_h0 + at.left(a), 1, a.V, D, a.V, a.K);
        }
    };

    struct PairRole {
        Memory& s;
        const Args& a;
        const Place<Args, true>& at;
        Each<Keys, 2> d;  // q's and k's gradients

        TILE_FN int token(int i) const { return (at.chunks - 1 - i) * C; }
        TILE_FN Elements<T> keys(const T* base, int i) const {
            return {base, at.seq, token(i), a.H, at.h, a.K, 0};
        }
        TILE_FN void fetch_keys(int i) {
            if (i < at.chunks) {
                fetch_rows<PAIR_WARPS>(s.keys[i % 2].q, a.q, at, a.H, token(i), a.K, 0);
                fetch_rows<PAIR_WARPS>(s.keys[i % 2].k, a.k, at, a.H, token(i), a.K, 0);
            }
            commit();
        }
        TILE_FN void fetch_gates(int i) {
            if (i < at.chunks) fetch_rows<PAIR_WARPS>(s.g, a.g, at, a.H, token(i), a.K, 0);
            commit();
        }
        TILE_FN void begin() {
            for_each_index<PAIR_WARPS, 1>([&](int) { s.met = NOT_YET; });
            fetch_keys(0);
            fetch_gates(0);
            wait<0>();
        }
        TILE_FN void ready() {}
        TILE_FN void step(int n) {
            const int i = n >> 2, phase = n & 3;
            if (phase == 0) {
                fetch_keys(i + 1);
                fold_gates(i, n);
            } else if (phase == 1) {
                pairs(s.keys[i % 2]);
            } else if (phase == 2) {
                products(i);
            } else {
                fetch_gates(i + 1);
                gradients(i);
                wait<0>();
            }
        }

        TILE_FN void fold_gates(int i, int n) {
            Operands& x = s.keys[i % 2];
            Gates G;
            sums(G, s.g, s.decay, s.scratch);
            keep(s.G, G);
            group_barrier<PAIR_WARPS>();
            if constexpr (LATE) {
                const bool late = lowest(s.decay) < -REACH;
                group_barrier<PAIR_WARPS>();
                for_each_index<PAIR_WARPS, 1>([&](int) { s.late = late; });
                if (late) fold_late(G, x, i);
            }
            for_each_index<PAIR_WARPS, K>([&](int c) {
                if (!LATE && s.decay[c] < -REACH) s.met = n;
                s.decay[c] = exp<T>(s.decay[c]);
            });
            const float scale = a.scale;
            fold(x.q, G, [scale](float G, int) { return scale * exp<T>(G); });
            fold(x.k, G, [](float G, int) { return rise<T>(G, REACH); });
        }
        TILE_FN void fold_late(Gates& G, Operands& x, int i) {
            late_products<PAIR_WARPS>(s.pairs.p, keys(a.q, i), keys(a.k, i), s.G, REACH, a.scale);
            G.for_each([&](float& y, float& z, int r, int c) {
                float k0, k1, last0, last1;
                x.k.get_pair(k0, k1, r, c);
                s.G.get_pair(last0, last1, C - 1, c);
                s.g.set_pair(r, c, k0 * exp<T>(last0 - y), k1 * exp<T>(last1 - z));
            });
        }

        TILE_FN void pairs(Operands& x) {
            groups<PAIR_WARPS, 2>([&](int group) {
                Square P;
                P.fill(0);
                if (group == 0) {
                    Reg<T, C, K, GROUP> q;
                    q.load(x.q);
                    product<LOWER_OUT>(P, q, t(x.k));
                    P.for_each([](float& y, int i, int j) { y = i >= j ? y : 0.f; });
                    if (LATE && s.late) zip(P, s.pairs.p, [](float& y, float z, int, int) { y += z; });
                    store(s.pairs.p, P);
                } else {
                    Reg<T, C, V, GROUP> d_o;
                    d_o.load(s.d_o);
                    product<LOWER_OUT>(P, d_o, t(s.v));
                    P.for_each([](float& y, int i, int j) { y = i >= j ? y : 0.f; });
                    store(s.pairs.d_p, P);
                }
            });
        }

        // dQ = dO S^T + dP k~,   dK = v dS'^T + dP^T q^, and between them what tokens leave
        TILE_FN void products(int i) {
            Operands& x = s.keys[i % 2];
            groups<PAIR_WARPS, 2>([&](int group) {
                Keys& y = d[group];
                y.fill(0);
                if (group == 0)
                    slices(y, s.d_o, s.state);
                else
                    slices(y, s.v, s.d_state);
            });
            group_barrier<PAIR_WARPS>();
            groups<PAIR_WARPS, 2>([&](int group) {
                Reg<T, C, C, GROUP> d_p;
                if (group == 0) {
                    d_p.load(s.pairs.d_p);
                    product(d[group], d_p, x.k);
                } else {
                    leave(d[group], x.k);
                    d_p.load(t(s.pairs.d_p));
                    product(d[group], d_p, x.q);
                }
            });
        }
        // the product, with less of its left operand in registers at a time
        static TILE_FN void slices(Keys& y, const Tile<T, C, V>& a, Tile<T, V, K>& b) {
            TILE_UNROLL
            for (int first = 0; first < V; first += SLICE) {
                Reg<T, C, SLICE, GROUP> left;
                left.load(a, first);
                product(y, left, rows<SLICE>(b, first / SLICE));
            }
        }
        // what tokens leave, of y = v dS'^T; in a late chunk y itself, and the pairs' product on its own after it
        TILE_FN void leave(Keys& y, Tile<T, C, K>& k) {
            if constexpr (LATE)
                if (s.late) {
                    store(s.left, y);
                    y.fill(0);
                    return;
                }
            y.for_each_pair([&](float& y0, float& y1, int r, int c) {
                float k0, k1;
                k.get_pair(k0, k1, r, c);
                s.left.set_pair(r, c, k0 * y0, k1 * y1);
            });
        }

        TILE_FN void gradients(int i) {
            Operands& x = s.keys[i % 2];
            if (LATE && s.late)
                combine_late(x, i);
            else
                groups<PAIR_WARPS, 2>([&](int group) {
                    if (group == 0)
                        combine_reader(d[group], x.q);
                    else
                        combine_read(d[group], x.k);
                });
            group_barrier<PAIR_WARPS>();
            groups<PAIR_WARPS, 2>([&](int group) {
                if (group == 0) store(s.G, d[group]);
            });
            group_barrier<PAIR_WARPS>();
            groups<PAIR_WARPS, 2>([&](int group) {
                if (group == 1) subtract(s.G, d[group]);
            });
            put<PAIR_WARPS>(a.d_q, i, x.q);
            put<PAIR_WARPS>(a.d_k, i, x.k);
            group_barrier<PAIR_WARPS>();
            if (a.d_g) gate(i);
        }
        static TILE_FN void subtract(Tile<float, C, K>& from, Keys& y) {
            y.for_each_pair([&](float& y0, float& y1, int r, int c) {
                float x0, x1;
                from.get_pair(x0, x1, r, c);
                from.set_pair(r, c, x0 - y0, x1 - y1);
            });
        }
        // the gradient of q in place of q^; y becomes what the gate's gradient gets
        TILE_FN void combine_reader(Keys& y, Tile<T, C, K>& q) {
            const float scale = a.scale;
            y.for_each_pair([&](float& y0, float& y1, int r, int c) {
                float G0, G1, q0, q1;
                s.G.get_pair(G0, G1, r, c);
                q.get_pair(q0, q1, r, c);
                q.set_pair(r, c, scale * exp<T>(G0) * y0, scale * exp<T>(G1) * y1);
                y0 *= q0;
                y1 *= q1;
            });
        }
        // likewise of k in place of k~; what is left to the next chunk is not in y
        TILE_FN void combine_read(Keys& y, Tile<T, C, K>& k) {
            y.for_each_pair([&](float& y0, float& y1, int r, int c) {
                float G0, G1, k0, k1, left0, left1;
                s.G.get_pair(G0, G1, r, c);
                k.get_pair(k0, k1, r, c);
                s.left.get_pair(left0, left1, r, c);
                k.set_pair(r, c, exp<T>(-G0) * y0, exp<T>(-G1) * y1);
                y0 = k0 * y0 - left0;
                y1 = k1 * y1 - left1;
            });
        }
        // what a group has to a tile, and from there what f(it, row, column) makes of it
        template <int GROUP_OF, class F>
        TILE_FN void by_way_of(Tile<float, C, K>& tile, F f) {
            groups<PAIR_WARPS, 2>([&](int group) {
                if (group == GROUP_OF) store(tile, d[group]);
            });
            group_barrier<PAIR_WARPS>();
            for_each_rolled<PAIR_WARPS>(C * K, [&](int n) {
                const int r = n / K, c = n % K;
                tile.set(r, c, f(tile.at(r, c), r, c));
            });
            group_barrier<PAIR_WARPS>();
            groups<PAIR_WARPS, 2>([&](int group) {
                if (group == GROUP_OF) zip(d[group], tile, [](float& y, float z, int, int) { y = z; });
            });
            group_barrier<PAIR_WARPS>();
        }
        // The same of a late chunk, with what late tokens add pair by pair.
        TILE_FN void combine_late(Operands& x, int i) {
            const Elements<T> q = keys(a.q, i), k = keys(a.k, i);
            const float scale = a.scale;
            by_way_of<1>(s.more, [&](float z, int r, int c) {
                const float G = s.G.at(r, c), end = exp<T>(s.G.at(C - 1, c) - G) * s.left.at(r, c);
                const bool late = G < -REACH;
                const float more = scale * late_after(s.pairs.d_p, q, s.G, REACH, r, c);
                const float share = late ? k.at(r, c) * more : x.k.at(r, c) * z;
                x.k.set(r, c, (late ? more : exp<T>(-G) * z) + end);
                s.left.set(r, c, k.at(r, c) * end);
                return share;
            });
            by_way_of<0>(s.more, [&](float y, int r, int c) {
                const float more = scale * late_before(s.pairs.d_p, k, s.G, REACH, r, c), read = x.q.at(r, c);
                x.q.set(r, c, scale * exp<T>(s.G.at(r, c)) * y + more);
                return read * y + q.at(r, c) * more;
            });
        }

        TILE_FN void gate(int i) {
            Gates gate, left;
            recall(gate, s.G);
            recall(left, s.left);
            const bool first = !a.h0 && token(i) == 0 && at.part.begins;
            gate_gradient<PAIR_WARPS>(gate, left, s.through, s.decay, s.scratch, first);
            group_barrier<PAIR_WARPS>();
            keep(s.d_g, gate);
            group_barrier<PAIR_WARPS>();
            put<PAIR_WARPS>(a.d_g, i, s.d_g);
        }
        template <int W>
        TILE_FN void put(T* to, int i, const Tile<T, C, K>& tile) {
            if (!to) return;
            const Rows<T> x(to, at.seq, token(i), a.H, at.h, a.K);
            store_global<W>(x.ptr, x.ld, tile, at.given(at.chunks - 1 - i, at.seq.length - token(i)), a.K);
        }
        TILE_FN void end() { wait<0>(); }
    };

    static TILE_FN void run(Memory& s, const Args& a) {
        const Place<Args, true> at(a, C, V);
        if (at.part.idle || (LATE && !a.late[block_id()])) return;
        StateRole state{s, a, at};
        PairRole pair{s, a, at};
        const auto given_up = [&s](int n) { return !LATE && s.met < n; };
        lockstep<STATE_WARPS, PAIR_WARPS>(4 * at.chunks, state, pair, given_up);
    }
    static TILE_FN void run(float&, const Args&) {}
};
template <class T, int C, int K, int V>
struct GlaBackward : Backward<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct GlaBackwardLate : Backward<T, C, K, V, true> {};

}  // namespace gla

using gla::GlaBackward;
using gla::GlaBackwardLate;
#endif
