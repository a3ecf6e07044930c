// Decays of single channels over stretches of tokens, as products of the tokens' own decays, so that nothing of a later
// token is in what an earlier one sees.
//
// Two tokens of one block of 16, j <= i: with D_i the decay from the block's beginning to i, that from j to i is D_i / D_j.
// The first goes into what reads, the second into what is read, and the pairs of a block are one product of matrices. A
// token's channel with D_j < LEAST is left out of it (it is late), and added pair by pair.
// Two tokens of different blocks meet at S, the highest bit in which they differ: they lie in the two halves, of S tokens
// each, of a node of 2 S. With mid the first token of its upper half, the decay from j to i is that from j to mid times that
// from mid to i, and each is a factor of one token alone, never a quotient.
#pragma once
#include "../tile/strip.h"
#include "span.h"

namespace channels {
using namespace tile;

// tokens that one thread walks, in two neighbouring channels, and tokens of a block
constexpr int STRAND = 8, BLOCK = 16;

// two neighbouring channels
struct Two {
    float x, y;
    TILE_FN Two operator+(const Two& o) const { return {x + o.x, y + o.y}; }
    TILE_FN Two operator-(const Two& o) const { return {x - o.x, y - o.y}; }
    TILE_FN Two operator*(const Two& o) const { return {x * o.x, y * o.y}; }
    TILE_FN Two operator*(float o) const { return {x * o, y * o}; }
};
template <class S>
TILE_FN Two get(const S& tile, int row, int c) {
    Two x;
    tile.get_pair(x.x, x.y, row, c);
    return x;
}
template <class S>
TILE_FN void put(S& tile, int row, int c, const Two& x) {
    tile.set_pair(row, c, x.x, x.y);
}
template <class S>
TILE_FN Two get(const Strip<S>& strip, int n) {
    Two x;
    strip.get(x.x, x.y, n);
    return x;
}
template <class S>
TILE_FN void put(const Strip<S>& strip, int n, const Two& x) {
    strip.set(n, x.x, x.y);
}

// exp(REACH) times an operand, and what they multiply, stay within their types; gates of -5 for 16 tokens are within bf16's
template <class T>
constexpr float REACH = 80.5f;
template <>
constexpr float REACH<f16> = 7.f;
// exp of it is zero; a sum with more in it would only lose its last places
TILE_FN float least(float gate) { return gate < -110.f ? -110.f : gate; }
// In the fused kernels gates, and sums of them, count powers of two; `upward` is that of the negative sum, zero where it is
// out of reach.
constexpr float OF_TWO = 1.44269504f;
template <class T>
constexpr float REACH_OF_TWO = REACH<T> * OF_TWO;
TILE_FN float power(float x) { return tile::exp2(x); }
TILE_FN Two of_two(const Two& gate) { return Two{least(gate.x), least(gate.y)} * OF_TWO; }
template <class T>
TILE_FN float upward(float G) {
    return G < -REACH_OF_TWO<T> ? 0.f : power(-G);
}
// The same of the decay itself. Of two factors one is times LIFT and the other through it, a power of two, so that both are
// as far from where their type begins as from where it ends.
template <class T>
constexpr float LEAST = 1.1e-35f;
template <class T>
constexpr float LIFT = 288230376151711744.f;
template <>
constexpr float LEAST<f16> = 4.6e-5f;
template <>
constexpr float LIFT<f16> = 32.f;
template <class T>
TILE_FN float falling(float decay) {
    const bool late = decay < LEAST<T>;
    const float y = reciprocal<T>(late ? 1.f : decay) * (1 / LIFT<T>);
    return late ? 0.f : y;
}

// Whether the range of a type is so narrow that decay and LIFT times an operand may fall below where it is whole. Its
// gradients then are of pairs one by one not only where what is read is late but also where what reads is.
template <class T>
constexpr bool NARROW = false;
template <>
constexpr bool NARROW<f16> = true;
template <class T>
TILE_FN float rising(float decay) {
    return NARROW<T> && decay < LEAST<T> ? 0.f : decay * LIFT<T>;
}

// The power of two that brings a sum of magnitudes to 1 or a little more: gradients may be as small as they like, and
// those behind them are not to fall below where f32 begins on their way through factors. Exact, and so undone by its
// reciprocal.
TILE_FN float unit(float sum) {
    const uint32_t exponent = float_to_bits(sum) >> 23 & 255;
    return exponent == 0 || exponent > 240 ? 1.f : bits_to_float((254 - exponent) << 23);
}

TILE_FN bool meet(int S, int i, int j) { return i > j && (i ^ j) / S == 1; }
TILE_FN bool upper(int S, int i) { return (i & S) != 0; }

// f(token, product over [begin, token]) for the tokens of [first, last), begin <= first
template <int C, int K, class F>
TILE_FN void rise(const Tile<float, C, K>& decay, int c, int begin, int first, int last, F f) {
    Two run = {1, 1};
    for (int i = begin; i < first; i++) run = run * get(decay, i, c);
    TILE_ROLL
    for (int i = 0; i < last - first; i++) {
        run = run * get(decay, first + i, c);
        f(first + i, run);
    }
}
// f(token, product over (token, end)) for the tokens of [first, last), end >= last
template <int C, int K, class F>
TILE_FN void fall(const Tile<float, C, K>& decay, int c, int first, int last, int end, F f) {
    Two run = {1, 1};
    for (int i = end - 1; i >= last; i--) run = run * get(decay, i, c);
    TILE_ROLL
    for (int i = last - first - 1; i >= 0; i--) {
        f(first + i, run);
        run = run * get(decay, first + i, c);
    }
}
// f(token, channel, factors of it and its neighbour) with the factors of the tokens at S, each once, by W warps
template <int W, int S, int C, int K, class F>
TILE_FN void for_each_factor(const Tile<float, C, K>& decay, F f) {
    for_each_index<W, K / 2 * (C / STRAND)>([&](int n) {
        const int c = n % (K / 2) * 2, first = n / (K / 2) * STRAND, last = first + STRAND;
        auto keep = [&](int i, const Two& x) { f(i, c, x); };
        const int begin = first / S * S;
        if (upper(S, first))
            rise(decay, c, begin, first, last, keep);
        else
            fall(decay, c, first, last, begin + S, keep);
    });
}
// the same with the products from the block's start to each token; ends: those of whole blocks
template <int W, int C, int K, class F>
TILE_FN void for_each_in_block(const Tile<float, C, K>& decay, float (&ends)[C / BLOCK * K], F f) {
    for_each_index<W, K / 2 * (C / STRAND)>([&](int n) {
        const int c = n % (K / 2) * 2, first = n / (K / 2) * STRAND, begin = first / BLOCK * BLOCK;
        rise(decay, c, begin, first, first + STRAND, [&](int i, const Two& x) {
            f(i, c, x);
            if (i != begin + BLOCK - 1) return;
            ends[begin / BLOCK * K + c] = x.x, ends[begin / BLOCK * K + c + 1] = x.y;
        });
    });
}
// product over (from, to]
template <int C, int K>
TILE_FN float between(const Tile<float, C, K>& decay, int c, int from, int to) {
    float run = 1;
    TILE_ROLL
    for (int i = from + 1; i <= to; i++) run = run * decay.at(i, c);
    return run;
}
template <class T, int C, int K>
TILE_FN bool is_late(const Tile<float, C, K>& decay, int c, int i) {
    return between(decay, c, i / BLOCK * BLOCK - 1, i) < LEAST<T>;
}
// whether a pair j < i of a block is no part of the product that gradients are made by
template <class T, int C, int K>
TILE_FN bool apart(const Tile<float, C, K>& decay, int c, int j, int i) {
    return is_late<T>(decay, c, j) || (NARROW<T> && is_late<T>(decay, c, i));
}
// the same with the products from the chunk's start to each token, and from each token to the chunk's end
template <int W, int C, int K, class F>
TILE_FN void for_each_from_start(const Tile<float, C, K>& decay, F f) {
    for_each_index<W, K / 2 * (C / STRAND)>([&](int n) {
        const int c = n % (K / 2) * 2, first = n / (K / 2) * STRAND;
        rise(decay, c, 0, first, first + STRAND, [&](int i, const Two& x) { f(i, c, x); });
    });
}
template <int W, int C, int K, class F>
TILE_FN void for_each_to_end(const Tile<float, C, K>& decay, F f) {
    for_each_index<W, K / 2 * (C / STRAND)>([&](int n) {
        const int c = n % (K / 2) * 2, first = n / (K / 2) * STRAND;
        fall(decay, c, first, first + STRAND, C, [&](int i, const Two& x) { f(i, c, x); });
    });
}

// From log decays to decays, in place, and that of the whole chunk; begins with a barrier. In f32 the latter is their
// product, as the tokens' own are: it meets them in differences, where its own rounding error would be left.
template <int W, class T, int C, int K>
TILE_FN void decays(Tile<float, C, K>& g, float (&whole)[K]) {
    group_barrier<W>();
    if constexpr (sizeof(T) < sizeof(float)) {
        for_each_index<W, K>([&](int c) {
            float sum = 0;
            for (int i = 0; i < C; i++) sum += g.at(i, c);
            whole[c] = exp<float>(sum);
        });
        group_barrier<W>();
    }
    map<W>(g, g, [](float x, int, int) { return exp<T>(x < -1e5f ? -1e5f : x); });
    if constexpr (sizeof(T) == sizeof(float)) {
        group_barrier<W>();
        for_each_index<W, K>([&](int c) {
            float product = 1;
            for (int i = 0; i < C; i++) product *= g.at(i, c);
            whole[c] = product;
        });
    }
}

// Pairs of tokens: scores_ij = sum_c q_i k_j decay_c(j to i) for i >= j, system_ij the same of k and k for i > j; the
// rest is zero. q_at and k_at receive what the factors make of q and k, k_by what is read within a block.
template <int W, class T, int C, int K>
struct Pairs {
    using Keys = Tile<T, C, K>;
    using Square = Acc<C, C, W>;
    Square scores, system;

    template <int S>
    TILE_FN void meeting(const Keys& q, const Keys& k, Keys& q_at, Keys& k_at, const Tile<float, C, K>& decay) {
        group_barrier<W>();
        for_each_factor<W, S>(decay, [&](int i, int c, const Two& x) {
            put(k_at, i, c, get(k, i, c) * x);
            if (upper(S, i)) put(q_at, i, c, get(q, i, c) * x);
        });
        group_barrier<W>();
        Square p, l;
        p.fill(0);
        l.fill(0);
        mma_both<LOWER_OUT>(p, l, q_at, k_at, t(k_at));
        // what does not meet here is of no number
        zip(scores, p, [](float& y, float x, int i, int j) { y = meet(S, i, j) ? x : y; });
        zip(system, l, [](float& y, float x, int i, int j) { y = meet(S, i, j) ? x : y; });
        if constexpr (S > BLOCK) meeting<S / 2>(q, k, q_at, k_at, decay);
    }

    // begins and ends with a barrier; returns whether channels are late
    TILE_FN bool form(const Keys& q, const Keys& k, Keys& q_at, Keys& k_at, Keys& k_by, const Tile<float, C, K>& decay,
                      float (&ends)[C / BLOCK * K]) {
        group_barrier<W>();
        for_each_in_block<W>(decay, ends, [&](int i, int c, const Two& x) {
            const Two key = get(k, i, c);
            const Two lifted = x * LIFT<T>;
            put(k_at, i, c, key * lifted);
            put(q_at, i, c, get(q, i, c) * lifted);
            put(k_by, i, c, key * Two{falling<T>(x.x), falling<T>(x.y)});
        });
        group_barrier<W>();
        scores.fill(0);
        system.fill(0);
        mma_both<LOWER_OUT>(scores, system, q_at, k_at, t(k_by));
        scores.for_each([](float& y, int i, int j) { y = i / BLOCK == j / BLOCK && i >= j ? y : 0.f; });
        system.for_each([](float& y, int i, int j) { y = i / BLOCK == j / BLOCK && i > j ? y : 0.f; });
        if constexpr (C > BLOCK) meeting<C / 2>(q, k, q_at, k_at, decay);
        group_barrier<W>();
        return lowest(ends) < LEAST<T>;
    }

    // what late channels add; begins and ends with a barrier
    TILE_FN void add_late(const Keys& q, const Keys& k, const Tile<float, C, K>& decay, Tile<float, C, C>& p,
                          Tile<float, C, C>& l) {
        for_each_rolled<W>(C * C, [&](int n) {
            const int i = n / C, j = n % C;
            float of_q = 0, of_k = 0;
            TILE_ROLL
            for (int c = 0; c < K && j <= i && i / BLOCK == j / BLOCK; c++) {
                if (!is_late<T>(decay, c, j)) continue;
                const float x = k.at(j, c) * between(decay, c, j, i);
                of_q = fused(q.at(i, c), x, of_q);
                of_k = fused(k.at(i, c), x, of_k);
            }
            p.set(i, j, of_q);
            l.set(i, j, j < i ? of_k : 0.f);
        });
        group_barrier<W>();
        zip(scores, p, [](float& y, float x, int, int) { y += x; });
        zip(system, l, [](float& y, float x, int, int) { y += x; });
        group_barrier<W>();
    }
};

}  // namespace channels
