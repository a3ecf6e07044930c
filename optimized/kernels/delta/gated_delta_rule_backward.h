// The backward half of gated_delta_rule.cu, where the maths, the workspaces and the launches are told.
#pragma once

namespace delta {

template <class T>
struct ReverseArgs {
    const T *q, *k;             // [R, H, K]
    const T* d_o;               // [R, HV, V] or null
    const float *g, *beta;      // [R, HV]
    const float* d_ht;          // [N, HV, K, V] or null
    const T *inverse, *scores;  // [total, HV, C, C]
    T* d_v;                     // [R, HV, V]
    float* d_states;            // [total, HV, V, KP] behind each chunk, or null
    float* d_h0;                // [N, HV, K, V] or null
    const long long *offsets, *chunks;
    int H, HV, K, V;
    float scale;
};
static_assert(sizeof(ReverseArgs<float>) == 13 * 8 + 5 * 4 + 4, "twin of ReverseArgs");

// decays from the start of a token's block of S to it, and from it to the block's end
template <class T, int C, int S>
struct BlockDecays {
    float from_start[C], to_end[C];

    template <int W>
    TILE_FN void scan(const Decays<T, C>& decays) {
        for_each_index<W, C>([&](int i) {
            const int first = i / S * S;
            from_start[i] = first == 0 ? decays.from_start[i] : decays.between(i, first - 1);
            to_end[i] = decays.between(first + S - 1, i);
        });
        barrier();
    }
};

// The sweep's mirror image: the gradient of the state, transposed, runs from the last chunk to the first. In f32 it
// halts after every block of S tokens, for which the blocks of X and P on the diagonal are enough, and takes a block's
// halves apart: what tokens give to the state and take from it mostly cancels, as the recurrence forgets, but the
// rounding errors of long sums do not.
template <class T, int C, int K, int V>
struct GatedDeltaReverse {
    using Args = ReverseArgs<T>;
    static constexpr bool SHORT = sizeof(T) == sizeof(float);  // sums
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1, S = SHORT ? 16 : C, BLOCKS = C / S;
    struct Stage {
        Tile<T, S, K> q[BLOCKS], k[BLOCKS];
        Tile<T, S, V> d_o[BLOCKS];
        Tile<T, S, S> inverse[BLOCKS], scores[BLOCKS];
        float g[C], beta[C];
    };
    struct Whole {
        Tile<T, S, V> d_v[BLOCKS];
        Decays<T, C> decays;
    };
    struct Blocks : Whole {
        BlockDecays<T, C, S> own;
    };
    using Rest = typename Choose<BLOCKS == 1, Whole, Blocks>::type;
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Rest) <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Rest rest;
    };
    using State = Acc<V, K, WARPS>;
    using Values = Acc<V, S, WARPS>;
    // of a block
    struct Given {
        Tile<T, S, K>&q, &k;
        Tile<T, S, V>& d_o;
        Tile<T, S, S>&inverse, &scores;
        const float* beta;
    };
    struct Gates {
        const float *from_start, *to_end;
    };
    struct Left {
        Tile<T, S, V>& d_v;
        Gates decays;
    };
    struct Place {
        int sequence, hv, hk, v0;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long ldk = (long long)a.H * a.K, ldv = (long long)a.HV * a.V;
        const long long key = rows.row * ldk + (long long)at.hk * a.K, head = rows.row * a.HV + at.hv;
        const long long square = ((a.chunks[at.sequence] + c) * a.HV + at.hv) * C * C;
        const T* d_o = a.d_o ? a.d_o : a.d_v;  // of the same shape, and not read then
        TILE_UNROLL
        for (int b = 0; b < BLOCKS; b++) {
            const int first = b * S, count = rows.count - first, diagonal = first * (C + 1);
            load_async<WARPS>(x.q[b], a.q + key + first * ldk, ldk, count, a.K);
            load_async<WARPS>(x.k[b], a.k + key + first * ldk, ldk, count, a.K);
            load_async<WARPS>(x.d_o[b], d_o + head * a.V + at.v0 + first * ldv, ldv, count, a.d_o ? a.V - at.v0 : 0);
            load_async<WARPS>(x.inverse[b], a.inverse + square + diagonal, C, S, S);
            load_async<WARPS>(x.scores[b], a.scores + square + diagonal, C, S, S);
        }
        load_gates<WARPS>(x.g, a.g, head, a.HV, rows.count);
        load_async<WARPS>(x.beta, a.beta + head, a.HV, rows.count);
    }

    // d_v^T = (d_o^T P + dS'^T k^T diag(exp(G_last - G))) diag(beta) X
    static TILE_FN void values(Values& d_v, const State& dS, const Given& x, const Gates& decays) {
        Values d_u;
        d_u.fill(0);
        product(d_u, rounded<T>(dS), t(x.k));
        d_u.for_each([&](float& y, int, int i) { y *= decays.to_end[i]; });
        product(d_u, t(x.d_o), x.scores);
        d_u.for_each([&](float& y, int, int i) { y *= x.beta[i]; });
        d_v.fill(0);
        product(d_v, rounded<T>(d_u), x.inverse);
    }

    static TILE_FN void step(State& dS, Shared& s, Stage& x, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long chunk = (a.chunks[at.sequence] + c) * a.HV + at.hv;
        if (a.d_states) store_global(a.d_states + (chunk * a.V + at.v0) * K, K, 1, dS, a.V - at.v0, K);
        TILE_ROLL
        for (int b = BLOCKS - 1; b >= 0; b--) {
            const Span own = {rows.row + b * S, rows.count - b * S};
            const Given given = {x.q[b], x.k[b], x.d_o[b], x.inverse[b], x.scores[b], x.beta + b * S};
            block(dS, {s.rest.d_v[b], gates(s.rest, b * S)}, given, a, at, own);
        }
    }
    static TILE_FN Gates gates(const Whole& x, int) { return {x.decays.from_start, x.decays.to_end}; }
    static TILE_FN Gates gates(const Blocks& x, int first) { return {x.own.from_start + first, x.own.to_end + first}; }
    static TILE_FN void block(State& dS, const Left& s, const Given& x, const Args& a, const Place& at,
                              const Span& rows) {
        Values d_v;
        values(d_v, dS, x, s.decays);
        store(t(s.d_v), d_v);
        barrier();
        store_global<WARPS>(a.d_v + (rows.row * a.HV + at.hv) * a.V + at.v0, (long long)a.HV * a.V, s.d_v, rows.count,
                            a.V - at.v0);
        const float whole = s.decays.from_start[S - 1];
        dS.for_each([whole](float& y, int, int) { y *= whole; });
        Reg<T, V, S, WARPS> left;
        left.load(t(x.d_o));
        if constexpr (!SHORT) {
            pass(dS, left, d_v, s, x, a);
        } else {
            TILE_ROLL
            for (int first = 8; first >= 0; first -= 8) {
                auto part = left;
                Values of_v = d_v;
                part.for_each([first](float& y, int, int i) { y = i / 8 * 8 == first ? y : 0.f; });
                of_v.for_each([first](float& y, int, int i) { y = i / 8 * 8 == first ? y : 0.f; });
                pass(dS, part, of_v, s, x, a);
            }
        }
    }
    static TILE_FN void pass(State& dS, Reg<T, V, S, WARPS>& left, Values& d_v, const Left& s, const Given& x,
                             const Args& a) {
        left.for_each([&](float& y, int, int i) { y *= a.scale * s.decays.from_start[i]; });
        product(dS, left, x.q);
        d_v.for_each([&](float& y, int, int i) { y *= -s.decays.from_start[i]; });
        product(dS, rounded<T>(d_v), x.k);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int slices = (a.V + V - 1) / V, head = block_id() / slices;
        const int hv = head % a.HV;
        const Place at = {head / a.HV, hv, hv / (a.HV / a.H), block_id() % slices * V};
        const int n = (int)(a.chunks[at.sequence + 1] - a.chunks[at.sequence]);
        const long long state = (long long)head * a.K * a.V + at.v0;
        State dS;
        if (a.d_ht)
            load(dS, a.d_ht + state, 1, a.V, a.V - at.v0, a.K);
        else
            dS.fill(0);
        for (int c = n + STAGES - 2; c >= 0; c--) {
            const int next = c - (STAGES - 1);
            if (next >= 0) fetch(s.stage[next % STAGES], a, at, next);
            commit();
            if (STAGES > 1 && c >= n) continue;
            wait<STAGES - 1>();
            publish();
            Stage& x = s.stage[c % STAGES];
            s.rest.decays.template scan<WARPS>(x.g);
            if constexpr (BLOCKS > 1) s.rest.own.template scan<WARPS>(s.rest.decays);
            step(dS, s, x, a, at, c);
            barrier();
        }
        if (a.d_h0) store_global(a.d_h0 + state, 1, a.V, dS, a.V - at.v0, a.K);
    }
};

template <class T>
struct GradientArgs {
    const T *q, *k;              // [R, H, K]
    const T* d_o;                // [R, HV, V] or null
    const T *w, *d_v;            // [R, HV, V]
    const float *states, *d_states;  // [total, HV, V, KP]
    const float *g, *beta;       // [R, HV]
    T *d_q, *d_k;                // [R, H, K], each or null; when HV > H null, and instead
    float *partial_q, *partial_k;  // [R, HV, K], each or null
    float *d_g, *d_beta;         // [R, HV], each or null
    const long long *offsets, *chunks;
    const int* sequence_of_chunk;
    int H, HV, K, V;
    float scale;
};
static_assert(sizeof(GradientArgs<float>) == 18 * 8 + 5 * 4 + 4, "twin of GradientArgs");

// one block per (chunk, value head): five products summed over slices of V, then what happens inside the chunk
template <class T, int C, int K, int V>
struct GatedDeltaGradient {
    using Args = GradientArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1;
    struct Slice {
        Tile<T, C, V> d_o, w, d_v;
        Tile<float, V, K> state, d_state;
    };
    // the states as operands
    struct Rounded {
        Tile<T, V, K> state, d_state;
    };
    struct Nothing {};
    struct Inside {
        Tile<T, C, K> q, k;
        Tile<T, C, C> d_scores, d_system;
        Tile<float, C, C> pairs;
    };
    union Stage {
        Slice slice;
        Inside inside;
    };
    static constexpr int STRIP = 16, STRIPS = C / STRIP;
    struct Scalars {
        float g[C], beta[C], read[C], removed[C], written[C], columns[C], scratch[WARPS * C], total[WARPS];
        float strip[STRIPS][C], part[STRIPS][C];
        Decays<T, C> decays;
    };
    static constexpr bool ROUNDS = sizeof(T) < sizeof(float);
    static constexpr int FIXED = sizeof(Scalars) + (ROUNDS ? sizeof(Rounded) : 0);
    static constexpr int STAGES = TILE_ASYNC && 2 * sizeof(Stage) + FIXED <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        typename Choose<ROUNDS, Rounded, Nothing>::type rounded;
        Scalars scalars;
    };
    using Keys = Acc<C, K, WARPS>;
    using Square = Acc<C, C, WARPS>;
    struct Place {
        Span rows;
        int hk;
        long long head, state;  // of the chunk's first row in [R, HV], of the chunk's states
    };
    struct Sums {
        Keys d_q, read, written;    // d_o S^T, d_v S^T, w dS'^T
        Square d_scores, d_system;  // d_o w^T, d_v w^T
    };

    static TILE_FN void fetch_slice(Slice& x, const Args& a, const Place& at, int v0) {
        const long long ld = (long long)a.HV * a.V, value = at.head * a.V + v0, state = at.state + (long long)v0 * K;
        const int count = at.rows.count, width = a.V - v0;
        const T* d_o = a.d_o ? a.d_o : a.w;  // of the same shape, and not read then
        load_async<WARPS>(x.d_o, d_o + value, ld, count, a.d_o ? width : 0);
        load_async<WARPS>(x.w, a.w + value, ld, count, width);
        load_async<WARPS>(x.d_v, a.d_v + value, ld, count, width);
        load_async<WARPS>(x.state, a.states + state, K, width, K);
        load_async<WARPS>(x.d_state, a.d_states + state, K, width, K);
    }

    static TILE_FN void fetch_keys(Inside& x, const Args& a, const Place& at) {
        const long long ld = (long long)a.H * a.K, key = at.rows.row * ld + (long long)at.hk * a.K;
        load_async<WARPS>(x.q, a.q + key, ld, at.rows.count, a.K);
        load_async<WARPS>(x.k, a.k + key, ld, at.rows.count, a.K);
    }

    template <class S>
    static TILE_FN void add_products(Sums& sums, const Slice& x, const S& state, const S& d_state) {
        mma(sums.d_q, x.d_o, state);
        mma(sums.read, x.d_v, state);
        mma(sums.written, x.w, d_state);
        mma<LOWER_OUT>(sums.d_scores, x.d_o, t(x.w));
        mma<LOWER_OUT>(sums.d_system, x.d_v, t(x.w));
    }
    // this thread's share of <S, dS'> is returned
    static TILE_FN float add_slice(Sums& sums, const Slice& x, Shared& s) {
        if constexpr (ROUNDS) {
            const float share = round_both<WARPS>(s.rounded.state, x.state, s.rounded.d_state, x.d_state);
            barrier();
            add_products(sums, x, s.rounded.state, s.rounded.d_state);
            return share;
        } else {
            add_products(sums, x, x.state, x.d_state);
            return inner_product<WARPS>(x.state, x.d_state);
        }
    }

    // Y, its column sums, and the left operands that carry it back to q and k
    static TILE_FN void pairs(Sums& sums, Inside& x, Scalars& s, float scale) {
        Square decays;
        decays.for_each([&](float& d, int i, int j) { d = s.decays.between(i, j); });
        zip(sums.d_scores, decays, [&](float& d, float decay, int i, int j) { d = i >= j ? d * scale * decay : 0.f; });
        zip(sums.d_system, decays, [&](float& d, float decay, int i, int j) { d = i > j ? d * decay : 0.f; });
        Square y, z;
        y.fill(0);
        mma<LOWER_OUT>(y, x.q, t(x.k));
        zip(y, sums.d_scores, [](float& p, float d, int i, int j) { p = i >= j ? p * d : 0.f; });
        z.fill(0);
        mma<LOWER_OUT>(z, x.k, t(x.k));
        zip(z, sums.d_system, [](float& p, float d, int i, int j) { p = i > j ? p * d : 0.f; });
        zip(y, z, [](float& p, float l, int, int) { p -= l; });
        store(x.pairs, y);
        column_sums<WARPS>(s.columns, s.scratch, y, [](float p, int, int) { return p; });
        sums.d_scores.for_each([&](float& d, int, int j) { d *= s.beta[j]; });
        sums.d_system.for_each([&](float& d, int, int j) { d *= -s.beta[j]; });
        store(x.d_scores, sums.d_scores);
        store(x.d_system, sums.d_system);
    }

    // d_beta, and d_g_t = sum_{i < t} beta_i written_i + sum_{i >= t} (read_i + removed_i + sum_{j < t} pairs_ij
    // beta_j) + what the state carries across; rows and columns in strips, so that every thread has something to add
    static TILE_FN void scalars(Tile<float, C, C>& pairs, Scalars& s, const Args& a, const Place& at, float S_dS) {
        for_each_index<WARPS, C>([&](int i) {
            if (a.d_beta && i < at.rows.count) a.d_beta[at.head + (long long)i * a.HV] = s.written[i] + s.columns[i];
            s.written[i] *= s.beta[i];
            s.read[i] += s.removed[i];
        });
        for_each_index<WARPS, C * STRIPS>([&](int n) {
            const int i = n % C, first = n / C * STRIP;
            float before = 0;
            for (int j = first; j < first + STRIP; j++) {
                const float y = pairs.at(i, j) * s.beta[j];
                pairs.set(i, j, before);
                before += y;
            }
            s.strip[n / C][i] = before;
        });
        barrier();
        if (!a.d_g) return;
        for_each_index<WARPS, C * STRIPS>([&](int n) {
            const int token = n % C, first = n / C * STRIP;
            float d = 0;
            for (int i = first; i < first + STRIP; i++) {
                float row = pairs.at(i, token) + s.read[i];
                for (int k = 0; k < token / STRIP; k++) row += s.strip[k][i];
                d += i < token ? s.written[i] : row;
            }
            s.part[n / C][token] = d;
        });
        barrier();
        for_each_index<WARPS, C>([&](int token) {
            float d = s.part[0][token];
            for (int k = 1; k < STRIPS; k++) d += s.part[k][token];
            if (token < at.rows.count) a.d_g[at.head + (long long)token * a.HV] = d + s.decays.whole() * S_dS;
        });
    }

    static TILE_FN void put(T* out, float* partial, Tile<T, C, K>& by, const Keys& acc, const Args& a, const Place& at) {
        if (partial)
            store_global(partial + at.head * a.K, (long long)a.HV * a.K, 1, acc, at.rows.count, a.K);
        if (!out) return;
        store(by, acc);
        barrier();
        store_global<WARPS>(out + (at.rows.row * a.H + at.hk) * a.K, (long long)a.H * a.K, by, at.rows.count, a.K);
    }

    static TILE_FN void finish(Sums& sums, Inside& x, Scalars& s, const Args& a, const Place& at, float S_dS) {
        s.decays.template scan<WARPS>(s.g);
        sums.d_q.for_each([&](float& y, int i, int) { y *= a.scale * s.decays.from_start[i]; });
        sums.read.for_each([&](float& y, int i, int) { y *= -s.decays.from_start[i]; });
        sums.written.for_each([&](float& y, int i, int) { y *= s.decays.to_end[i]; });
        row_sums<WARPS>(s.read, s.scratch, sums.d_q, [&](float y, int i, int c) { return y * x.q.at(i, c); });
        row_sums<WARPS>(s.removed, s.scratch, sums.read, [&](float y, int i, int c) { return y * x.k.at(i, c); });
        row_sums<WARPS>(s.written, s.scratch, sums.written, [&](float y, int i, int c) { return y * x.k.at(i, c); });
        Keys& d_k = sums.written;
        zip(d_k, sums.read, [&](float& y, float read, int i, int) { y = y * s.beta[i] + read; });
        pairs(sums, x, s, a.scale);
        barrier();
        scalars(x.pairs, s, a, at, S_dS);
        mma<LOWER_A>(sums.d_q, x.d_scores, x.k);
        mma<UPPER_A>(d_k, t(x.d_scores), x.q);
        mma<LOWER_A>(d_k, x.d_system, x.k);
        mma<UPPER_A>(d_k, t(x.d_system), x.k);
        barrier();
        put(a.d_q, a.partial_q, x.q, sums.d_q, a, at);
        put(a.d_k, a.partial_k, x.k, d_k, a, at);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int chunk = block_id() / a.HV, hv = block_id() % a.HV, n = a.sequence_of_chunk[chunk];
        const Span rows = span<C>(a.offsets, n, chunk - a.chunks[n]);
        const Place at = {rows, hv / (a.HV / a.H), rows.row * a.HV + hv, (long long)block_id() * a.V * K};
        const int slices = (a.V + V - 1) / V;
        Scalars& scalars = s.scalars;
        load_gates<WARPS>(scalars.g, a.g, at.head, a.HV, rows.count);
        load_async<WARPS>(scalars.beta, a.beta + at.head, a.HV, rows.count);
        Sums sums;
        sums.d_q.fill(0);
        sums.read.fill(0);
        sums.written.fill(0);
        sums.d_scores.fill(0);
        sums.d_system.fill(0);
        Inside& inside = s.stage[slices % STAGES].inside;
        float share = 0;
        for (int i = 1 - STAGES; i < slices; i++) {
            const int next = i + STAGES - 1;
            if (next < slices)
                fetch_slice(s.stage[next % STAGES].slice, a, at, next * V);
            else
                fetch_keys(inside, a, at);
            commit();
            if (STAGES > 1 && i < 0) continue;
            wait<STAGES - 1>();
            barrier();
            share += add_slice(sums, s.stage[i % STAGES].slice, s);
            barrier();
        }
        if (STAGES == 1) fetch_keys(inside, a, at);
        commit();
        wait<0>();
        barrier();
        finish(sums, inside, scalars, a, at, total<WARPS>(scalars.total, share));
    }
};

}  // namespace delta
