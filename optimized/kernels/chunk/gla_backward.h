// gla's gradients of a chunk, from the state before it and the gradient of the state after it.
#pragma once
#include "../tile/crossings.h"
#include "gla_forward.h"

namespace gla {

template <class T>
struct GradientsArgs {
    const T *q, *k, *v, *d_o, *g, *gv;  // as in the forward pass; d_o as v or null for zeros
    const float* h0;                    // null: the first token's gates scale nothing
    const T *states, *d_states;         // [total, H, V, K]: before and (gradient) after every chunk
    T *d_q, *d_k, *d_v, *d_g, *d_gv;    // as q, k, v, g, gv; each may be null
    const long long *offsets, *chunks;  // [N + 1] each
    const int* sequence_of_chunk;       // [total]
    int H, K, V, slices, reverse;
    float scale;
};
static_assert(sizeof(GradientsArgs<bf16>) == 160, "the launcher's twin must match");

// A side's vectors: sums at the chunk's end, what passes through it, and room for sums.
template <int N, int SCRATCH>
struct Side {
    float last[N], through[N], part[N], scratch[SCRATCH];
};

// an accumulator as columns
template <int C, int N, int W>
TILE_FN void turn(Columns<C, N, W>& to, Tile<float, C, N>& by, const Acc<C, N, W>& from) {
    barrier();
    store(by, from);
    barrier();
    recall(to, by);
}

// No channel is late. That is by far the most common, and worth code of its own: the loops over elements are unrolled,
// and with the rare case's loops within each of them they would not fit the instruction cache.
struct None {
    TILE_FN void operator()(int, int, float (&)[2]) const {}
};

// What reads, of one side: x is the gradient of its operand, and goes where that was if it is to STAY. It becomes what
// the gate's gradient gets of it. Late channels give more[0], which is multiplied with more[1] there.
template <bool STAY, class T, int C, int N, int W, class F>
TILE_FN void combine_reader(Columns<C, N, W>& G, Columns<C, N, W>& x, Tile<T, C, N>& reads, F late_share) {
    together(
        [&](int r, int c, float(&G)[2], float(&x)[2]) {
            float read[2], sum[2];
            reads.get_pair(read[0], read[1], r, c);
            TILE_UNROLL
            for (int e = 0; e < 2; e++) {
                float more[2] = {};
                late_share(r, c + e, more);
                sum[e] = fused(exp<T>(G[e]), x[e], more[0]);
                x[e] = read[e] * x[e] + more[1] * more[0];
            }
            if (STAY) reads.set_pair(r, c, sum[0], sum[1]);
        },
        G, x);
}
// What is read, likewise: its operands are rises and lasts (k~, k^), end and within its gradients by the state and by
// the chunk's pairs. The sum, k's gradient, goes where rises was. end becomes what tokens leave to the state after the
// chunk; what later tokens of the chunk read of them is taken from what the gate's gradient gets of those.
template <class T, int C, int N, int SCRATCH, int W, class F>
TILE_FN void combine_read(Columns<C, N, W>& G, Columns<C, N, W>& end, Columns<C, N, W>& within, Columns<C, N, W>& gate,
                          const Side<N, SCRATCH>& side, Tile<T, C, N>& rises, const Tile<T, C, N>& lasts, float reach,
                          F late_share) {
    together(
        [&](int r, int c, float(&G)[2], float(&y)[2], float(&z)[2], float(&gate)[2]) {
            float rising[2], last[2], sum[2];
            rises.get_pair(rising[0], rising[1], r, c);
            lasts.get_pair(last[0], last[1], r, c);
            TILE_UNROLL
            for (int e = 0; e < 2; e++) {
                float more[2] = {};
                late_share(r, c + e, more);
                sum[e] = exp<T>(side.last[c + e] - G[e]) * y[e] + rise<T>(G[e], reach) * z[e] + more[0];
                gate[e] -= rising[e] * z[e] + more[1] * more[0];
                y[e] *= last[e];
            }
            rises.set_pair(r, c, sum[0], sum[1]);
        },
        G, end, within, gate);
}

// What pairs give the gradients of the gates between them, of operands with gates folded in; of late channels, which
// those have none of, by what is in memory. For f32: what 16 bits leave to such a sum is more than what cancels in it.
template <int C, int N, int W>
TILE_FN void crossings(Columns<C, N, W>& x, const Tile<float, C, C>& p, const Tile<float, C, N>& reads,
                       const Tile<float, C, N>& rises, const Elements<float>& left, const Elements<float>& right,
                       const Tile<float, C, N>& G, float reach, bool late) {
    if (late)
        crossings(x, p, [&](int i, int j, int c) {
            const float from = G.at(j, c);
            return from < -reach ? left.at(i, c) * right.at(j, c) * exp<float>(G.at(i, c) - from)
                                 : reads.at(i, c) * rises.at(j, c);
        });
    else
        crossings(x, p, [&](int i, int j, int c) { return reads.at(i, c) * rises.at(j, c); });
}

// what reads, times the gradients of its operand
template <class T, int C, int N, int W>
TILE_FN void weigh(Columns<C, N, W>& x, const Tile<T, C, N>& reads) {
    x.for_each([&](float& y, float& z, int r, int c) {
        y *= reads.at(r, c);
        z *= reads.at(r, c + 1);
    });
}

template <int C, int N, int W>
TILE_FN void add(Columns<C, N, W>& x, Columns<C, N, W>& more) {
    together(
        [](int, int, float(&x)[2], float(&y)[2]) {
            x[0] += y[0];
            x[1] += y[1];
        },
        x, more);
}

// Sums up, what tokens leave from the first on; exactly zero at a first token (first) of which nothing is before. What
// passes through the chunk comes in parts.
template <int W, int C, int N, int M, int SCRATCH>
TILE_FN void gate_gradient(Columns<C, N, W>& x, Columns<C, N, W>& left, const float (&through)[M], float (&total)[N],
                           float (&scratch)[SCRATCH], bool first) {
    sums_above<W>(left, scratch);
    group_barrier<W>();
    running_sums<W, true>(x, total, scratch);
    together(
        [&](int r, int c, float(&y)[2], float(&z)[2]) {
            TILE_UNROLL
            for (int e = 0; e < 2; e++) {
                float all = 0;
                TILE_UNROLL
                for (int part = 0; part < M; part += N) all += through[part + c + e];
                y[e] = first && r == 0 ? 0.f : (y[e] + all) + z[e];
            }
        },
        x, left);
}

// q^, k~ and k^ in place of q, k and the gates; returns whether channels are late, whose products are then in p
template <class T, int C, int K, int W, int SCRATCH, class At, class A>
TILE_FN bool fold_keys(Columns<C, K, W>& G, Tile<T, C, K>& q, Tile<T, C, K>& k, Tile<T, C, K>& late,
                       Side<K, SCRATCH>& side, Tile<float, C, K>& wide, Tile<T, C, C>& p, const A& a, const At& at,
                       int token, float reach) {
    sums(G, late, side.last, side.scratch);
    for_each_index<W, K>([&](int c) { side.through[c] = 0; });
    barrier();
    const bool is_late = lowest(side.last) < -reach;
    if (is_late) {
        keep(wide, G);
        barrier();
        const Elements<T> left{a.q, at.seq, token, a.H, at.h, a.K, 0}, right{a.k, at.seq, token, a.H, at.h, a.K, 0};
        late_products<W>(p, left, right, wide, reach, a.scale);
    }
    G.for_each([&](float& x, float& y, int r, int c) {
        float k0, k1;
        k.get_pair(k0, k1, r, c);
        late.set_pair(r, c, k0 * exp<T>(side.last[c] - x), k1 * exp<T>(side.last[c + 1] - y));
        k.set_pair(r, c, k0 * rise<T>(x, reach), k1 * rise<T>(y, reach));
    });
    fold(q, G, [](float G, int) { return exp<T>(G); });
    publish();
    return is_late;
}

// P of folded operands, with what late channels add
template <class T, int C, int K, int W>
TILE_FN void scores(Tile<T, C, C>& p, const Tile<T, C, K>& q, Tile<T, C, K>& k, float scale, bool late) {
    Acc<C, C, W> P;
    P.fill(0);
    mma<LOWER_OUT>(P, q, t(k));
    if (late)
        zip(P, p, [scale](float& y, float z, int i, int j) { y = i >= j ? fused(y, scale, z) : 0.f; });
    else
        P.for_each([scale](float& y, int i, int j) { y = i >= j ? y * scale : 0.f; });
    store(p, P);
}

// The gradients of q and k, in place of q^ and k~, from dQ without exp(G) and dK by the state alone; gate becomes
// what the gate's gradient gets of pairs and of what enters, left what tokens leave.
template <class T, int C, int K, int W, class S>
TILE_FN void gradients_of_keys(Columns<C, K, W>& G, Acc<C, K, W>& dQ, Acc<C, K, W>& dK, Columns<C, K, W>& gate,
                               Columns<C, K, W>& left, S& s, const Elements<T>& q, const Elements<T>& k,
                               bool late, float reach) {
    Acc<C, K, W> within;
    within.fill(0);
    mma<UPPER_A>(within, t(s.d_p), s.q);
    turn(gate, s.wide, dQ);
    if (late) {
        barrier();
        keep(s.wide, G);
        barrier();
        combine_reader<true>(G, gate, s.q, [&](int r, int c, float(&more)[2]) {
            more[0] = late_before(s.d_p, k, s.wide, reach, r, c);
            more[1] = q.at(r, c);
        });
    } else {
        combine_reader<true>(G, gate, s.q, None());
    }
    Columns<C, K, W> pairs;
    turn(left, s.wide, dK);
    turn(pairs, s.wide, within);
    if (late) {
        barrier();
        keep(s.wide, G);
        barrier();
        combine_read(G, left, pairs, gate, s.side, s.k, s.late, reach, [&](int r, int c, float(&more)[2]) {
            more[0] = late_after(s.d_p, q, s.wide, reach, r, c);
            more[1] = k.at(r, c);
        });
    } else {
        combine_read(G, left, pairs, gate, s.side, s.k, s.late, reach, None());
    }
}

// With q^ = exp(G) q, k~ = exp(-G) k, k^ = exp(G_last - G) k, the same of v for gates of values, D = exp(G) d_o and
// dP = scale D v~^T, P = scale q^ k~^T for the pairs i >= j:
//   d_q = exp(G) (scale D S^T + dP k~),   d_k = exp(G_last - G) (v^ dS'^T) + exp(-G) (dP^T q^),
//   d_v = exp(G_last - G) (k^ dS') + exp(-G) (P^T D).
// A gate scales what passes from before its token to it and after. Of channel c that is
//   d_g_t = sum over i >= t of (q d_q - k d_k~)_i + exp(G_last) <S, dS'> + sum over j < t of (k^ (v^ dS'^T))_j,
// with d_k~ the share of d_k that comes from pairs. Of those, what does not pass t cancels, to the accuracy of f32 sums
// because both of their terms are the same product of the same rounded operands. The rest is no difference of what
// closed gates leave small. That accuracy is not enough for f32, where the pairs that do pass t are summed for each t:
//   sum over i >= t of (q exp(G) D S^T scale)_i + sum over i >= t > j of dP_ij q^_i k~_j + the rest.
template <class T, int C, int K, int V, bool BOTH>
struct Gradients {
    using Args = GradientsArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1;
    static constexpr float REACH = gla::REACH<T, BOTH>;
    // whether pairs give the gates their share apart
    static constexpr bool APART = sizeof(T) == sizeof(float);
    using Keys = Columns<C, K, WARPS>;
    using Values = Columns<C, V, WARPS>;
    using States = Columns<V, K, WARPS>;
    static_assert(Keys::SCRATCH == States::SCRATCH, "room for sums is shared");
    using Wide = Acc<C, K, WARPS>;
    using Thin = Acc<C, V, WARPS>;
    using Square = Acc<C, C, WARPS>;

    struct ValueGates {
        Tile<T, C, V> late, g;  // v^; gates, and their gradients after them
        Tile<float, C, V> G, wide;
        Side<V, Values::SCRATCH> side;
    };
    struct Shared {
        Tile<T, C, K> q, k, late;  // q^, k~; gates, and k^ after them
        Tile<T, C, V> v, d_o;
        union {
            struct {
                Tile<T, V, K> state, d_state;
            } around;
            Tile<float, C, K> wide;
        };
        Tile<T, C, C> p, d_p;
        Side<K, Keys::SCRATCH> side;
        Maybe<BOTH, ValueGates> values;
    };
    struct Here {
        Sequence seq;
        int h, token;
        long long state;  // element of the workspaces where this chunk and head begin
    };

    struct Block {
        Shared& s;
        const Args& a;
        const Here& at;
        bool late;

        TILE_FN Elements<T> keys(const T* base) const { return {base, at.seq, at.token, a.H, at.h, a.K, 0}; }
        TILE_FN Elements<T> values(const T* base, int v0) const { return {base, at.seq, at.token, a.H, at.h, a.V, v0}; }

        template <int N>
        TILE_FN void put(T* to, const Tile<T, C, N>& tile, int width, int column) const {
            if (!to) return;
            const Rows<T> x(to, at.seq, at.token, a.H, at.h, width, column);
            store_global<WARPS>(x.ptr, x.ld, tile, at.seq.length - at.token, width - column);
        }

        TILE_FN void fold_keys(Keys& G) {
            fetch_rows<WARPS>(s.q, a.q, at, a.H, at.token, a.K, 0);
            fetch_rows<WARPS>(s.k, a.k, at, a.H, at.token, a.K, 0);
            fetch_rows<WARPS>(s.late, a.g, at, a.H, at.token, a.K, 0);
            commit();
            wait<0>();
            barrier();
            late = gla::fold_keys(G, s.q, s.k, s.late, s.side, s.wide, s.p, a, at, at.token, REACH);
        }

        // what passes through the chunk: per channel of keys, and of values
        TILE_FN void pass_through() {
            States X;
            X.for_each([&](float& x, float& y, int v, int c) {
                float s0, s1, d0, d1, decay = 1;
                s.around.state.get_pair(s0, s1, v, c);
                s.around.d_state.get_pair(d0, d1, v, c);
                if constexpr (BOTH) decay = exp<T>(s.values.x.side.last[v]);
                x = s0 * d0 * decay;
                y = s1 * d1 * decay;
            });
            running_sums<WARPS>(X, s.side.part, s.side.scratch);
            barrier();
            for_each_index<WARPS, K>([&](int c) { s.side.through[c] += exp<T>(s.side.last[c]) * s.side.part[c]; });
            if constexpr (BOTH) {
                auto& y = s.values.x;
                for_each_index<WARPS, V>([&](int v) {
                    float sum = 0;
                    TILE_ROLL
                    for (int c = 0; c < K; c++)
                        sum += s.around.state.at(v, c) * s.around.d_state.at(v, c) * exp<T>(s.side.last[c]);
                    y.side.through[v] = exp<T>(y.side.last[v]) * sum;
                });
            }
        }

        TILE_FN void fetch(int v0) {
            const long long state = at.state + (long long)v0 * a.K;
            fetch_rows<WARPS>(s.v, a.v, at, a.H, at.token, a.V, v0);
            fetch_rows<WARPS>(s.d_o, a.d_o, at, a.H, at.token, a.V, v0);
            load_async<WARPS>(s.around.state, a.states + state, a.K, a.V - v0, a.K);
            load_async<WARPS>(s.around.d_state, a.d_states + state, a.K, a.V - v0, a.K);
            if constexpr (BOTH) fetch_rows<WARPS>(s.values.x.g, a.gv, at, a.H, at.token, a.V, v0);
            commit();
            wait<0>();
        }

        TILE_FN void slice(int v0, Wide& dQ, Wide& dK, Square& dP) {
            barrier();
            fetch(v0);
            barrier();
            Values Gv;
            if constexpr (BOTH) fold_values(Gv, v0, dP);
            mma(dQ, s.d_o, s.around.state);
            mma<LOWER_OUT>(dP, s.d_o, t(s.v));
            if constexpr (BOTH)
                mma(dK, s.values.x.late, s.around.d_state);
            else
                mma(dK, s.v, s.around.d_state);
            if (a.d_g || a.d_gv) pass_through();
            Thin end;
            end.fill(0);
            mma(end, s.late, t(s.around.d_state));
            if constexpr (BOTH) {
                value_gradients(Gv, v0, end);
            } else {
                mma<UPPER_A>(end, t(s.p), s.d_o);
                barrier();
                store(s.v, end);
            }
            barrier();
            put(a.d_v, s.v, a.V, v0);
        }

        TILE_FN void fold_values(Values& Gv, int v0, Square& dP) {
            auto& y = s.values.x;
            sums(Gv, y.g, y.side.last, y.side.scratch);
            barrier();
            if (lowest(y.side.last) < -REACH) {
                keep(y.G, Gv);
                barrier();
                late_products<WARPS>(s.d_p, values(a.d_o, v0), values(a.v, v0), y.G, REACH, 1.f);
                barrier();
                zip(dP, s.d_p, [](float& z, float more, int, int) { z += more; });
            }
            Gv.for_each([&](float& x0, float& x1, int r, int c) {
                float a0, a1;
                s.v.get_pair(a0, a1, r, c);
                y.late.set_pair(r, c, a0 * exp<T>(y.side.last[c] - x0), a1 * exp<T>(y.side.last[c + 1] - x1));
                s.v.set_pair(r, c, a0 * rise<T>(x0, REACH), a1 * rise<T>(x1, REACH));
            });
            fold(s.d_o, Gv, [](float G, int) { return exp<T>(G); });
            barrier();
        }

        // d_v and d_gv of a slice, left in v and g
        TILE_FN void value_gradients(Values& Gv, int v0, Thin& end) {
            auto& y = s.values.x;
            const bool late_values = lowest(y.side.last) < -REACH;
            const Elements<T> v = values(a.v, v0), d_o = values(a.d_o, v0);
            Values gate, columns, within, crossing, unused;
            Values& into = APART ? unused : gate;
            Thin x;
            x.fill(0);
            mma(x, s.q, t(s.around.state));
            const float scale = a.scale;
            x.for_each([scale](float& z, int, int) { z *= scale; });
            if constexpr (!APART) mma<LOWER_A>(x, s.p, s.v);
            turn(gate, y.wide, x);
            if constexpr (APART) {
                weigh(gate, s.d_o);
                crossings(crossing, s.p, s.d_o, s.v, d_o, v, y.G, REACH, late_values);
            } else if (late_values)
                combine_reader<false>(Gv, gate, s.d_o, [&](int r, int c, float(&more)[2]) {
                    more[0] = late_before(s.p, v, y.G, REACH, r, c);
                    more[1] = d_o.at(r, c);
                });
            else
                combine_reader<false>(Gv, gate, s.d_o, None());
            turn(columns, y.wide, end);
            x.fill(0);
            mma<UPPER_A>(x, t(s.p), s.d_o);
            turn(within, y.wide, x);
            if (late_values)
                combine_read(Gv, columns, within, into, y.side, s.v, y.late, REACH, [&](int r, int c, float(&more)[2]) {
                    more[0] = late_after(s.p, d_o, y.G, REACH, r, c);
                    more[1] = v.at(r, c);
                });
            else
                combine_read(Gv, columns, within, into, y.side, s.v, y.late, REACH, None());
            barrier();
            if (a.d_gv)
                gate_gradient(gate, columns, y.side.through, y.side.part, y.side.scratch, !a.h0 && at.token == 0);
            if constexpr (APART) add(gate, crossing);
            keep(y.g, gate);
            barrier();
            put(a.d_gv, y.g, a.V, v0);
        }

        TILE_FN void key_gradients(Keys& G, Wide& dQ, Wide& dK) {
            Keys gate, left, crossing, unused;
            if constexpr (APART) {
                turn(gate, s.wide, dQ);
                weigh(gate, s.q);
                barrier();
                keep(s.wide, G);
                barrier();
                crossings(crossing, s.d_p, s.q, s.k, keys(a.q), keys(a.k), s.wide, REACH, late);
            }
            mma<LOWER_A>(dQ, s.d_p, s.k);
            gradients_of_keys(G, dQ, dK, APART ? unused : gate, left, s, keys(a.q), keys(a.k), late, REACH);
            barrier();
            if (a.d_g) gate_gradient(gate, left, s.side.through, s.side.part, s.side.scratch, !a.h0 && at.token == 0);
            if constexpr (APART) add(gate, crossing);
            keep(s.late, gate);
            barrier();
            put(a.d_q, s.q, a.K, 0);
            put(a.d_k, s.k, a.K, 0);
            put(a.d_g, s.late, a.K, 0);
        }

        TILE_FN void run() {
            Keys G;
            fold_keys(G);
            scores<T, C, K, WARPS>(s.p, s.q, s.k, a.scale, late);
            Wide dQ, dK;
            Square dP;
            dQ.fill(0);
            dK.fill(0);
            dP.fill(0);
            for (int v0 = 0; v0 < a.V; v0 += V) slice(v0, dQ, dK, dP);
            const float scale = a.scale;
            dQ.for_each([scale](float& y, int, int) { y *= scale; });
            dP.for_each([scale](float& y, int i, int j) { y = i >= j ? y * scale : 0.f; });
            store(s.d_p, dP);
            barrier();
            key_gradients(G, dQ, dK);
        }
    };

    static TILE_FN void run(Shared& s, const Args& a) {
        const int chunk = block_id() / a.H, h = block_id() % a.H, n = a.sequence_of_chunk[chunk];
        const Here at{Sequence(a.offsets, n, a.reverse), h, (int)(chunk - a.chunks[n]) * C,
                      (long long)block_id() * a.V * a.K};
        Block{s, a, at, false}.run();
    }
};
template <class T, int C, int K, int V>
struct GlaGradients : Gradients<T, C, K, V, false> {};
template <class T, int C, int K, int V>
struct GlaGradientsBoth : Gradients<T, C, K, V, true> {};

}  // namespace gla
