// gla's backward pass in one kernel, for 16-bit operands, values no wider than a slice, no gates of values, and
// machines with room in shared memory. Chunks go from the last to the first; the gradient of the state stays on the
// chip, states before the chunks come from the forward pass.
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
    const long long *offsets, *chunks;  // [P + 1] each
    const int* owners;                  // [P], the sequence of a piece
    const long long* firsts;            // [N + 1], the first piece of a sequence
    int H, K, V, slices, reverse;       // one slice
    float scale;
};
static_assert(sizeof(BackwardArgs<bf16>) == 160, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct GlaBackward {
    using Args = BackwardArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    static constexpr float REACH = gla::REACH<T, false>;
    using Keys = Columns<C, K, WARPS>;
    using States = Columns<V, K, WARPS>;
    static_assert(Keys::SCRATCH == States::SCRATCH, "room for sums is shared");
    using State = Acc<V, K, WARPS>;
    using Wide = Acc<C, K, WARPS>;
    using Square = Acc<C, C, WARPS>;
    struct Operands {
        Tile<T, C, K> q, k, late;  // q^, k~; gates, and k^ after them; then the gradients of q, k, g
    };
    struct Memory {
        Operands keys[2];
        Tile<T, C, V> v, d_o;  // v, and d_v after it
        Tile<T, V, K> state;
        union {
            Tile<T, V, K> d_state;
            Tile<float, C, K> wide;
        };
        Tile<T, C, C> p, d_p;
        Side<K, Keys::SCRATCH, WARPS> side;
    };
    // where it does not fit, nobody launches it
    static constexpr bool FITS = sizeof(Memory) <= TILE_SHARED_MOST;
    using Shared = If<FITS, Memory, float>;

    struct Block {
        Memory& s;
        const Args& a;
        const Place<Args>& at;

        // of the i-th chunk from the end; a commit each, also of nothing
        TILE_FN int chunk(int i) const { return at.chunks - 1 - i; }
        TILE_FN void fetch_keys(int i) {
            if (i < at.chunks) {
                Operands& x = s.keys[i % 2];
                fetch_rows<WARPS>(x.q, a.q, at, a.H, chunk(i) * C, a.K, 0);
                fetch_rows<WARPS>(x.k, a.k, at, a.H, chunk(i) * C, a.K, 0);
                fetch_rows<WARPS>(x.late, a.g, at, a.H, chunk(i) * C, a.K, 0);
            }
            commit();
        }
        TILE_FN void fetch_values(int i) {
            if (i < at.chunks) {
                fetch_rows<WARPS>(s.v, a.v, at, a.H, chunk(i) * C, a.V, 0);
                fetch_rows<WARPS>(s.d_o, a.d_o, at, a.H, chunk(i) * C, a.V, 0);
                load_async<WARPS>(s.state, a.states + at.kept(a, chunk(i)), a.K, a.V, a.K);
            }
            commit();
        }

        template <int N>
        TILE_FN void put(T* to, int token, const Tile<T, C, N>& tile, int width) const {
            if (!to) return;
            const Rows<T> x(to, at.seq, token, a.H, at.h, width);
            store_global<WARPS>(x.ptr, x.ld, tile, at.seq.length - token, width);
        }

        TILE_FN void pass_through() {
            States X;
            X.for_each([&](float& x, float& y, int v, int c) {
                float s0, s1, d0, d1;
                s.state.get_pair(s0, s1, v, c);
                s.d_state.get_pair(d0, d1, v, c);
                x = s0 * d0;
                y = s1 * d1;
            });
            running_sums<WARPS>(X, s.side.part, s.side.scratch);
            barrier();
            for_each_index<WARPS, K>([&](int c) { s.side.through[c] += exp<T>(s.side.last[c]) * s.side.part[c]; });
        }

        // the share of the state's role: d_v, and the gradient of the state before the chunk
        TILE_FN void state_gradient(State& D, Operands& x, int token) {
            Acc<V, C, WARPS> dV;
            dV.fill(0);
            product(dV, rounded<T>(D), t(x.late));
            Reg<T, V, C, WARPS> d_o;
            d_o.load(t(s.d_o));
            product(dV, d_o, s.p);
            const float scale = a.scale;
            D.for_each([&](float& y, int, int c) { y *= exp<T>(s.side.last[c]); });
            d_o.for_each([scale](float& y, int, int) { y *= scale; });
            product(D, d_o, x.q);
            barrier();
            if (!a.d_v) return;
            const Rows<T> out(a.d_v, at.seq, token, a.H, at.h, a.V);
            store_global(out.ptr, out.ld, t(s.v), dV, at.seq.length - token, a.V);
        }

        TILE_FN void run(int i, State& D) {
            Operands& x = s.keys[i % 2];
            const int token = chunk(i) * C;
            Keys G;
            const bool late = fold_keys(G, x.q, x.k, x.late, s.side, s.wide, s.p, a, at, token, REACH);
            store(s.d_state, D);
            scores<T, C, K, WARPS>(s.p, x.q, x.k, a.scale, late);
            Wide dQ, dK;
            Square dP;
            dP.fill(0);
            mma<LOWER_OUT>(dP, s.d_o, t(s.v));
            const float scale = a.scale;
            dP.for_each([scale](float& y, int i, int j) { y = i >= j ? y * scale : 0.f; });
            store(s.d_p, dP);
            publish();
            if (a.d_g) pass_through();
            dK.fill(0);
            mma(dK, s.v, s.d_state);
            if (a.d_g) end_sums(s.side, dK, x.late);
            state_gradient(D, x, token);
            dQ.fill(0);
            mma(dQ, s.d_o, s.state);
            dQ.for_each([scale](float& y, int, int) { y *= scale; });
            mma<LOWER_A>(dQ, s.d_p, x.k);
            barrier();
            fetch_values(i + 1);
            key_gradients(G, x, dQ, dK, late, token);
        }

        TILE_FN void key_gradients(Keys& G, Operands& x, Wide& dQ, Wide& dK, bool late, int token) {
            const Elements<T> q{a.q, at.seq, token, a.H, at.h, a.K, 0}, k{a.k, at.seq, token, a.H, at.h, a.K, 0};
            Keys columns, within;
            turn(columns, s.wide, dK);
            dK.fill(0);
            mma<UPPER_A>(dK, t(s.d_p), x.q);
            turn(within, s.wide, dK);
            if (late) {
                barrier();
                keep(s.wide, G);
                barrier();
            }
            if (late)
                combine_read(G, columns, within, s.side, x.k, x.late, REACH, [&](int r, int c, float(&more)[2]) {
                    more[0] = late_after(s.d_p, q, s.wide, REACH, r, c);
                    more[1] = k.at(r, c);
                });
            else
                combine_read(G, columns, within, s.side, x.k, x.late, REACH, None());
            turn(columns, s.wide, dQ);
            if (late) {
                barrier();
                keep(s.wide, G);
                barrier();
            }
            if (late)
                combine_reader<true>(G, columns, within, x.q, [&](int r, int c, float(&more)[2]) {
                    more[0] = late_before(s.d_p, k, s.wide, REACH, r, c);
                    more[1] = q.at(r, c);
                });
            else
                combine_reader<true>(G, columns, within, x.q, None());
            if (a.d_g) gate_gradient(within, s.side, !a.h0 && token == 0 && leads(a.owners, a.firsts, at.n, a.reverse));
            keep(x.late, within);
            barrier();
            put(a.d_q, token, x.q, a.K);
            put(a.d_k, token, x.k, a.K);
            put(a.d_g, token, x.late, a.K);
        }
    };

    static TILE_FN void run(Memory& s, const Args& a) {
        const Place<Args> at(a, C, V);
        State D;
        D.fill(0);
        if (a.d_ht) load(D, a.d_ht + at.state, 1, a.V, a.V, a.K);
        Block block{s, a, at};
        block.fetch_keys(0);
        block.fetch_values(0);
        for (int i = 0; i < at.chunks; i++) {
            wait<0>();
            barrier();
            block.fetch_keys(i + 1);
            block.run(i, D);
        }
        if (a.d_h0) store_global(a.d_h0 + at.state, 1, a.V, D, a.V, a.K);
    }
    static TILE_FN void run(float&, const Args&) {}
};

}  // namespace gla

using gla::GlaBackward;
#endif
