// The backward half of kda.cu, where the maths of the chunk, the workspaces and the launches are told.
//
// With A_ij = scale d_o_i w_j (i >= j) and B_ij = d_v_i w_j (i > j), pairs of tokens give
//   d_q_i = scale E_i (S d_o_i) + sum_j A_ij beta_j D_ij k_j
//   d_k_i = read_i + beta_i written_i
//   read_i = -E_i (S d_v_i) - sum_{j < i} B_ij beta_j D_ij k_j
//   written_j = F_j (dS' w_j) + sum_{i >= j} A_ij D_ij q_i - sum_{i > j} B_ij D_ij k_i          d_beta_j = k_j
//   written_j
// by channel, so that nothing is divided by beta. d_g_t sums what crosses from before t to t or later: what tokens
// from t on
// read of the state, what those before t write into it, the state that passes the whole chunk, and the pairs (i, j)
// with
// j < t <= i, at each S of channels.h by themselves: there a token of the upper half is crossed by what it and the
// later
// tokens of its half read, one of the lower half by what the earlier tokens of its half have written. There no sum cancels
// against another; within a block of 16 see below.
#pragma once

namespace kda {
template <class T>
struct ReverseArgs {
    const T *read_q, *read_k, *written_k;  // [R, HV, K]
    const T* d_o;                          // [R, HV, V] or null
    const float *beta, *whole;             // [R, HV], [total, HV, KP]
    const float* d_ht;                     // [N, HV, K, V] or null
    const T *inverse, *scores;             // [total, HV, C, C]
    T* d_v;                                // [R, HV, V]
    T* d_states;                           // [total, HV, V, KP] behind each chunk, or null
    float* d_h0;                           // [N, HV, K, V] or null
    const long long *offsets, *chunks;
    int HV, K, V;
    float scale;
};
static_assert(sizeof(ReverseArgs<float>) == 14 * 8 + 4 * 4, "twin of ReverseArgs");

// the sweep's mirror image: the gradient of the state, transposed, runs from the last chunk to the first
template <class T, int C, int K, int V>
struct KdaReverse {
    using Args = ReverseArgs<T>;
    static constexpr int WARPS = V / 16, MIN_BLOCKS = 1;
    struct Stage {
        Tile<T, C, K> q, read, written;
        Tile<T, C, V> d_o;
        Tile<T, C, C> inverse, scores;
        float beta[C], whole[K];
    };
    static constexpr int STAGES =
        TILE_ASYNC && 2 * sizeof(Stage) + sizeof(Tile<T, C + K, V>) <= TILE_SHARED_LIMIT ? 2 : 1;
    struct Shared {
        Stage stage[STAGES];
        Tile<T, C, V> d_v;
        Tile<T, V, K> d_state;
    };
    using State = Acc<V, K, WARPS>;
    using Values = Acc<V, C, WARPS>;
    struct Place {
        int sequence, hv, v0;
    };

    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long ldk = (long long)a.HV * a.K, ldv = (long long)a.HV * a.V;
        const long long head = rows.row * a.HV + at.hv, chunk = (a.chunks[at.sequence] + c) * a.HV + at.hv;
        load_async<WARPS>(x.q, a.read_q + head * a.K, ldk, rows.count, a.K);
        load_async<WARPS>(x.read, a.read_k + head * a.K, ldk, rows.count, a.K);
        load_async<WARPS>(x.written, a.written_k + head * a.K, ldk, rows.count, a.K);
        const T* d_o = a.d_o ? a.d_o : a.d_v;  // of the same shape, and not read then
        load_async<WARPS>(x.d_o, d_o + head * a.V + at.v0, ldv, rows.count, a.d_o ? a.V - at.v0 : 0);
        load_async<WARPS>(x.inverse, a.inverse + chunk * C * C, C, C, C);
        load_async<WARPS>(x.scores, a.scores + chunk * C * C, C, C, C);
        load_async<WARPS>(x.beta, a.beta + head, a.HV, rows.count);
        load_async<WARPS>(x.whole, a.whole + chunk * K, 1, K);
    }

    // d_v^T = (d_o^T P + dS'^T (F k)^T) diag(beta) X
    static TILE_FN void values(Values& d_v, const State& dS, Stage& x) {
        Values d_u;
        d_u.fill(0);
        product(d_u, rounded<T>(dS), t(x.written));
        product(d_u, t(x.d_o), x.scores);
        d_u.for_each([&](float& y, int, int i) { y *= x.beta[i]; });
        d_v.fill(0);
        product(d_v, rounded<T>(d_u), x.inverse);
    }

    static TILE_FN void step(State& dS, Shared& s, Stage& x, const Args& a, const Place& at, int c) {
        const Span rows = span<C>(a.offsets, at.sequence, c);
        const long long chunk = (a.chunks[at.sequence] + c) * a.HV + at.hv;
        if (a.d_states) store_global(a.d_states + (chunk * a.V + at.v0) * K, K, s.d_state, dS, a.V - at.v0, K);
        Values d_v;
        values(d_v, dS, x);
        store(t(s.d_v), d_v);
        barrier();
        store_global<WARPS>(a.d_v + (rows.row * a.HV + at.hv) * a.V + at.v0, (long long)a.HV * a.V, s.d_v, rows.count,
                            a.V - at.v0);
        dS.for_each([&](float& y, int, int c) { y *= x.whole[c]; });
        Reg<T, V, C, WARPS> left;
        left.load(t(x.d_o));
        left.for_each([&](float& y, int, int) { y *= a.scale; });
        product(dS, left, x.q);
        d_v.for_each([](float& y, int, int) { y = -y; });
        product(dS, rounded<T>(d_v), x.read);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int slices = (a.V + V - 1) / V, head = block_id() / slices;
        const Place at = {head / a.HV, head % a.HV, block_id() % slices * V};
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
            step(dS, s, s.stage[c % STAGES], a, at, c);
            barrier();
        }
        if (a.d_h0) store_global(a.d_h0 + state, 1, a.V, dS, a.V - at.v0, a.K);
    }
};

template <class T>
struct GradientArgs {
    const T *q, *k;                  // [R, H, K]
    const T* d_o;                    // [R, HV, V] or null
    const T *w, *d_v;                // [R, HV, V]
    const T *states, *d_states;      // [total, HV, V, KP]
    const float *g, *beta;           // [R, HV, K], [R, HV]
    T *d_q, *d_k;                    // [R, H, K], each or null; when HV > H null, and instead
    float *partial_q, *partial_k;    // [R, HV, K], each or null
    float *d_g, *d_beta;             // [R, HV, K], [R, HV], each or null
    const long long *offsets, *chunks;
    const int* sequence_of_chunk;
    int H, HV, K, V;
    float scale;
};
static_assert(sizeof(GradientArgs<float>) == 18 * 8 + 5 * 4 + 4, "twin of GradientArgs");

// one block per (chunk, value head): five products summed over slices of V, then what happens inside the chunk
template <class T, int C, int K, int V>
struct KdaGradient {
    using Args = GradientArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1, STRAND = channels::STRAND;
    using Floats = Tile<float, C, K>;
    struct Slice {
        Tile<T, C, V> d_o, w, d_v;
        Tile<T, V, K> state, d_state;
    };
    struct Inside {
        Tile<T, C, K> q, k, q_at, k_at;
        Tile<T, C, C> A, B;
        Floats decay, factor, d_g;  // factor also takes what crosses
    };
    union Scratch {
        Slice slice;
        Inside inside;
    };
    struct Shared {
        Scratch at;
        float beta[C], diagonal[C], d_beta[C], sizes[2][C], whole[K], carried[K], ends[C / channels::BLOCK * K];
        float scratch[WARPS * C];
    };
    using Keys = Acc<C, K, WARPS>;
    using Square = Acc<C, C, WARPS>;
    struct Place {
        Span rows;
        int hk;
        long long head, state;  // of the chunk's first row in [R, HV], of the chunk's states
    };
    struct Sums {
        Keys d_q, read, written;
        Square A, B;
        float up;  // what A and B are times on their way through factors
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
    static TILE_FN void fetch_inside(Inside& x, const Args& a, const Place& at) {
        const long long ld = (long long)a.H * a.K, key = at.rows.row * ld + (long long)at.hk * a.K;
        load_async<WARPS>(x.q, a.q + key, ld, at.rows.count, a.K);
        load_async<WARPS>(x.k, a.k + key, ld, at.rows.count, a.K);
        load_async<WARPS>(x.decay, a.g + at.head * a.K, (long long)a.HV * a.K, at.rows.count, a.K);
    }

    static TILE_FN void add_slice(Sums& sums, const Slice& x, Shared& s) {
        for_each_index<WARPS, K>([&](int c) {
            float y = s.carried[c];
            for (int v = 0; v < V; v++) y = fused(x.state.at(v, c), x.d_state.at(v, c), y);
            s.carried[c] = y;
        });
        mma(sums.d_q, x.d_o, x.state);
        mma(sums.read, x.d_v, x.state);
        mma(sums.written, x.w, x.d_state);
        mma<LOWER_OUT>(sums.A, x.d_o, t(x.w));
        mma<LOWER_OUT>(sums.B, x.d_v, t(x.w));
    }

    // what each token reads or writes across goes where its factor was
    static TILE_FN void keep(Inside& x, const Keys& crossing) {
        barrier();
        store(x.factor, crossing);
        barrier();
    }
    // to d_g, what is crossed at S
    template <int S>
    static TILE_FN void cross(Inside& x) {
        for_each_index<WARPS, K*(C / STRAND)>([&](int n) {
            const int c = n % K, first = n / K * STRAND, last = first + STRAND;
            const int begin = first / S * S;
            if (channels::upper(S, first))
                later(x, c, first, last, begin + S);
            else
                earlier(x, c, begin, first, last);
        });
        barrier();
    }
    // each token of [first, last) is crossed by itself and those behind it up to end
    static TILE_FN void later(Inside& x, int c, int first, int last, int end) {
        float run = 0;
        for (int i = end - 1; i >= last; i--) run += x.factor.at(i, c);
        for (int i = last - 1; i >= first; i--) {
            run += x.factor.at(i, c);
            x.d_g.set(i, c, x.d_g.at(i, c) + run);
        }
    }
    // and by those before it from begin on
    static TILE_FN void earlier(Inside& x, int c, int begin, int first, int last) {
        float run = 0;
        for (int i = begin; i < first; i++) run += x.factor.at(i, c);
        for (int i = first; i < last; i++) {
            x.d_g.set(i, c, x.d_g.at(i, c) + run);
            run += x.factor.at(i, c);
        }
    }

    // what tokens read of the state; d_g begins with the state that passes
    static TILE_FN void reads(Sums& sums, Inside& x, Shared& s, float scale) {
        channels::for_each_from_start<WARPS>(x.decay, [&](int i, int c, const Two& f) {
            put(x.factor, i, c, f);
            put(x.d_g, i, c, Two{s.whole[c], s.whole[c + 1]} * Two{s.carried[c], s.carried[c + 1]});
        });
        barrier();
        zip(sums.d_q, x.factor, [&](float& y, float f, int, int) { y *= scale * f; });
        zip(sums.read, x.factor, [&](float& y, float f, int, int) { y *= -f; });
        Keys crossing;
        zip(crossing, sums.d_q, [&](float& y, float d, int i, int c) { y = x.q.at(i, c) * d; });
        zip(crossing, sums.read, [&](float& y, float d, int i, int c) { y += x.k.at(i, c) * d; });
        keep(x, crossing);
        for_each_index<WARPS, K*(C / STRAND)>([&](int n) {
            later(x, n % K, n / K * STRAND, n / K * STRAND + STRAND, C);
        });
        barrier();
    }
    // what they write into it; from here on sums.read is d_k, and sums.written is k times what is written
    static TILE_FN void writes(Sums& sums, Inside& x, Shared& s) {
        channels::for_each_to_end<WARPS>(x.decay, [&](int i, int c, const Two& f) { put(x.factor, i, c, f); });
        barrier();
        zip(sums.written, x.factor, [](float& y, float f, int, int) { y *= f; });
        zip(sums.read, sums.written, [&](float& y, float d, int i, int) { y += s.beta[i] * d; });
        sums.written.for_each([&](float& y, int i, int c) { y *= x.k.at(i, c); });
        Keys crossing;
        zip(crossing, sums.written, [&](float& y, float d, int i, int) { y = s.beta[i] * d; });
        keep(x, crossing);
        for_each_index<WARPS, K*(C / STRAND)>([&](int n) {
            earlier(x, n % K, 0, n / K * STRAND, n / K * STRAND + STRAND);
        });
        barrier();
    }
    // the pairs that meet at S; k_at is k times its factor, and times beta where it is written
    template <int S>
    static TILE_FN void meeting(Sums& sums, Inside& x, Shared& s) {
        channels::for_each_factor<WARPS, S>(x.decay, [&](int i, int c, const Two& f) {
            const bool reads = channels::upper(S, i);
            put(x.factor, i, c, f);
            put(x.k_at, i, c, get(x.k, i, c) * f * (reads ? 1.f : s.beta[i]));
            put(x.q_at, i, c, reads ? get(x.q, i, c) * f : Two{0, 0});
        });
        const float up = sums.up, down = 1 / up;
        Square m;
        zip(m, sums.A, [up](float& y, float d, int i, int j) { y = channels::meet(S, i, j) ? d * up : 0.f; });
        store(x.A, m);
        zip(m, sums.B, [up](float& y, float d, int i, int j) { y = channels::meet(S, i, j) ? -d * up : 0.f; });
        store(x.B, m);
        barrier();
        Keys d_q, d_k;
        d_q.fill(0);
        d_k.fill(0);
        mma<LOWER_A>(d_q, x.A, x.k_at);
        mma<LOWER_A>(d_k, x.B, x.k_at);
        mma<UPPER_A>(d_k, t(x.A), x.q_at);
        mma<UPPER_A>(d_k, t(x.B), x.k_at);
        zip(d_q, x.factor, [down](float& y, float f, int, int) { y *= f * down; });
        zip(d_k, x.factor, [down](float& y, float f, int, int) { y *= f * down; });
        zip(sums.d_q, d_q, [](float& y, float d, int, int) { y += d; });
        zip(sums.read, d_k, [&](float& y, float d, int i, int) { y += channels::upper(S, i) ? d : s.beta[i] * d; });
        d_k.for_each([&](float& y, int i, int c) { y *= x.k.at(i, c); });
        zip(sums.written, d_k, [](float& y, float d, int i, int) { y += channels::upper(S, i) ? 0.f : d; });
        d_q.for_each([&](float& y, int i, int c) { y *= x.q.at(i, c); });
        zip(d_q, d_k, [&](float& y, float d, int i, int) { y = channels::upper(S, i) ? y + d : s.beta[i] * d; });
        keep(x, d_q);
        cross<S>(x);
        if constexpr (S > channels::BLOCK) meeting<S / 2>(sums, x, s);
    }

    // The pairs of a block. A gate is crossed by what tokens from it on read, less what is read of them there: pairs on one
    // side of it cancel, to the accuracy of f32 sums, because both of their terms are of the same rounded operands.
    static TILE_FN void within(Sums& sums, Inside& x, Shared& s) {
        auto by = [&](float k, float f, int i) { return k * channels::falling<T>(f) * s.beta[i]; };
        channels::for_each_in_block<WARPS>(x.decay, s.ends, [&](int i, int c, const Two& f) {
            const Two k = get(x.k, i, c);
            const Two lifted = {channels::rising<T>(f.x), channels::rising<T>(f.y)};
            put(x.factor, i, c, f);
            put(x.q_at, i, c, get(x.q, i, c) * lifted);
            put(x.k_at, i, c, Two{by(k.x, f.x, i), by(k.y, f.y, i)});
        });
        auto here = [](int i, int j) { return i > j && i / channels::BLOCK == j / channels::BLOCK; };
        const float up = sums.up, down = 1 / up;
        Square m;
        zip(m, sums.A, [&](float& y, float d, int i, int j) { y = here(i, j) ? d * up : 0.f; });
        store(x.A, m);
        zip(m, sums.B, [&](float& y, float d, int i, int j) { y = here(i, j) ? -d * up : 0.f; });
        store(x.B, m);
        barrier();
        Keys d_q, read, written, crossing;
        d_q.fill(0);
        read.fill(0);
        written.fill(0);
        mma<LOWER_A>(d_q, x.A, x.k_at);
        mma<LOWER_A>(read, x.B, x.k_at);
        barrier();
        for_each_index<WARPS, K / 2 * C>([&](int n) {
            const int i = n / (K / 2), c = n % (K / 2) * 2;
            const Two f = get(x.factor, i, c);
            put(x.k_at, i, c, get(x.k, i, c) * Two{channels::rising<T>(f.x), channels::rising<T>(f.y)});
        });
        barrier();
        mma<UPPER_A>(written, t(x.A), x.q_at);
        mma<UPPER_A>(written, t(x.B), x.k_at);
        zip(crossing, d_q, [&](float& y, float d, int i, int c) { y = x.q_at.at(i, c) * d; });
        zip(crossing, read, [&](float& y, float d, int i, int c) { y += x.k_at.at(i, c) * d; });
        zip(crossing, written, [&](float& y, float d, int i, int c) {
            y -= to_float(round_to<T>(by(x.k.at(i, c), x.factor.at(i, c), i))) * d;
        });
        zip(d_q, x.factor, [](float& y, float f, int, int) { y *= channels::rising<T>(f); });
        zip(read, x.factor, [](float& y, float f, int, int) { y *= channels::rising<T>(f); });
        zip(written, x.factor, [](float& y, float f, int, int) { y *= channels::falling<T>(f); });
        if (lowest(s.ends) < channels::LEAST<T>) late(d_q, read, written, crossing, x, s);
        zip(sums.d_q, d_q, [down](float& y, float d, int, int) { y += down * d; });
        zip(sums.read, read, [down](float& y, float d, int, int) { y += down * d; });
        zip(sums.read, written, [&](float& y, float d, int i, int) { y += s.beta[i] * down * d; });
        zip(sums.written, written, [&](float& y, float d, int i, int c) { y += x.k.at(i, c) * (down * d); });
        crossing.for_each([down](float& y, int, int) { y *= down; });
        keep(x, crossing);
        for_each_index<WARPS, K*(C / STRAND)>([&](int n) {
            const int first = n / K * STRAND;
            later(x, n % K, first, first + STRAND, first / channels::BLOCK * channels::BLOCK + channels::BLOCK);
        });
        barrier();
    }
    // what late channels add to each, pair by pair, by way of the factors' place
    static TILE_FN void late(Keys& d_q, Keys& read, Keys& written, Keys& crossing, Inside& x, Shared& s) {
        auto reads = [&](const Tile<T, C, C>& m) {
            barrier();
            for_each_rolled<WARPS>(C * K, [&](int n) {
                const int i = n / K, c = n % K;
                float sum = 0;
                TILE_ROLL
                for (int j = i / channels::BLOCK * channels::BLOCK; j < i; j++)
                    if (channels::apart<T>(x.decay, c, j, i))
                        sum += m.at(i, j) * s.beta[j] * x.k.at(j, c) * channels::between(x.decay, c, j, i);
                x.factor.set(i, c, sum);
            });
            barrier();
        };
        reads(x.A);
        zip(d_q, x.factor, [](float& y, float d, int, int) { y += d; });
        zip(crossing, x.factor, [&](float& y, float d, int i, int c) { y += x.q.at(i, c) * d; });
        reads(x.B);
        zip(read, x.factor, [](float& y, float d, int, int) { y += d; });
        zip(crossing, x.factor, [&](float& y, float d, int i, int c) { y += x.k.at(i, c) * d; });
        barrier();
        for_each_rolled<WARPS>(C * K, [&](int n) {
            const int j = n / K, c = n % K;
            const bool any = channels::NARROW<T> || channels::is_late<T>(x.decay, c, j);
            const int end = any ? j / channels::BLOCK + 1 : 0;
            float sum = 0;
            TILE_ROLL
            for (int i = j + 1; i < end * channels::BLOCK; i++)
                if (!channels::NARROW<T> || channels::apart<T>(x.decay, c, j, i))
                    sum += (x.A.at(i, j) * x.q.at(i, c) + x.B.at(i, j) * x.k.at(i, c)) *
                           channels::between(x.decay, c, j, i);
            x.factor.set(j, c, sum);
        });
        barrier();
        zip(written, x.factor, [](float& y, float d, int, int) { y += d; });
        zip(crossing, x.factor, [&](float& y, float d, int j, int c) { y -= s.beta[j] * x.k.at(j, c) * d; });
    }

    // a token and itself: nothing is crossed
    static TILE_FN void diagonal(Sums& sums, Inside& x, Shared& s) {
        zip(sums.d_q, x.k, [&](float& y, float k, int i, int) { y += s.diagonal[i] * s.beta[i] * k; });
        zip(sums.read, x.q, [&](float& y, float q, int i, int) { y += s.diagonal[i] * s.beta[i] * q; });
        zip(sums.written, x.q, [&](float& y, float q, int i, int c) { y += s.diagonal[i] * q * x.k.at(i, c); });
    }

    static TILE_FN void give(T* out, float* partial, Tile<T, C, K>& by, const Keys& acc, const Args& a, const Place& at) {
        if (partial)
            store_global(partial + at.head * a.K, (long long)a.HV * a.K, 1, acc, at.rows.count, a.K);
        if (!out) return;
        store(by, acc);
        barrier();
        store_global<WARPS>(out + (at.rows.row * a.H + at.hk) * a.K, (long long)a.H * a.K, by, at.rows.count, a.K);
    }

    static TILE_FN float unit(Sums& sums, Shared& s) {
        auto size = [](float y, int i, int j) { return i < j ? 0.f : y < 0 ? y : -y; };
        row_sums<WARPS>(s.sizes[0], s.scratch, sums.A, size);
        row_sums<WARPS>(s.sizes[1], s.scratch, sums.B, size);
        const float a = lowest(s.sizes[0]), b = lowest(s.sizes[1]);
        return channels::unit(a < b ? -a : -b);
    }

    static TILE_FN void finish(Sums& sums, Inside& x, Shared& s, const Args& a, const Place& at) {
        channels::decays<WARPS, T>(x.decay, s.whole);
        sums.A.for_each([&](float& y, int i, int j) {
            y *= a.scale;
            if (i == j) s.diagonal[i] = y;
        });
        sums.up = unit(sums, s);
        reads(sums, x, s, a.scale);
        writes(sums, x, s);
        if constexpr (C > channels::BLOCK) meeting<C / 2>(sums, x, s);
        within(sums, x, s);
        diagonal(sums, x, s);
        row_sums<WARPS>(s.d_beta, s.scratch, sums.written, [](float y, int, int) { return y; });
        for_each_index<WARPS, C>([&](int i) {
            if (a.d_beta && i < at.rows.count) a.d_beta[at.head + (long long)i * a.HV] = s.d_beta[i];
        });
        if (a.d_g) store_global<WARPS>(a.d_g + at.head * a.K, (long long)a.HV * a.K, x.d_g, at.rows.count, a.K);
        give(a.d_q, a.partial_q, x.q_at, sums.d_q, a, at);
        give(a.d_k, a.partial_k, x.k_at, sums.read, a, at);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int chunk = block_id() / a.HV, hv = block_id() % a.HV, n = a.sequence_of_chunk[chunk];
        const Span rows = span<C>(a.offsets, n, chunk - a.chunks[n]);
        const Place at = {rows, hv / (a.HV / a.H), rows.row * a.HV + hv, (long long)block_id() * a.V * K};
        load_async<WARPS>(s.beta, a.beta + at.head, a.HV, rows.count);
        Sums sums;
        sums.d_q.fill(0);
        sums.read.fill(0);
        sums.written.fill(0);
        sums.A.fill(0);
        sums.B.fill(0);
        for_each_index<WARPS, K>([&](int c) { s.carried[c] = 0; });
        for (int v0 = 0; v0 < a.V; v0 += V) {
            fetch_slice(s.at.slice, a, at, v0);
            commit();
            wait<0>();
            barrier();
            add_slice(sums, s.at.slice, s);
            barrier();
        }
        fetch_inside(s.at.inside, a, at);
        commit();
        wait<0>();
        barrier();
        finish(sums, s.at.inside, s, a, at);
    }
};

}  // namespace kda
