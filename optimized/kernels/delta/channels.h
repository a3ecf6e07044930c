// Decays of single channels over stretches of tokens, as products of the tokens' own decays: never a quotient, so
// nothing overflows, and nothing of a later token is in what an earlier one sees.
//
// Two tokens j < i meet at S, the highest bit in which they differ: they lie in the two halves, of S tokens each, of a
// node of 2 S. With mid the first token of its upper half, the decay from j to i is that from j to mid times that from
// mid to i, and each is a factor of one token alone. So every token has one factor at each S, and the pairs that
// meet at S are a product of matrices.
#pragma once
#include "span.h"

namespace channels {
using namespace tile;

// tokens that one thread walks, in two neighbouring channels
constexpr int STRAND = 8;

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

// exp(REACH) times an operand, and what they multiply, stay within their types; gates of -5 for 16 tokens are within bf16's
template <class T>
constexpr float REACH = 80.5f;
template <>
constexpr float REACH<f16> = 7.f;
// exp of it is zero; a sum with more in it would only lose its last places
TILE_FN float least(float gate) { return gate < -110.f ? -110.f : gate; }
// exp(-G), zero where it is out of reach
template <class T>
TILE_FN float upward(float G) {
    return G < -REACH<T> ? 0.f : exp<T>(-G);
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
        if constexpr (S >= STRAND) {
            const int begin = first / S * S;
            if (upper(S, first))
                rise(decay, c, begin, first, last, keep);
            else
                fall(decay, c, first, last, begin + S, keep);
        } else {
            TILE_UNROLL
            for (int low = 0; low < STRAND; low += 2 * S) {
                const int mid = first + low + S;
                fall(decay, c, mid - S, mid, mid, keep);
                rise(decay, c, mid, mid, mid + S, keep);
            }
        }
    });
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

// from log decays to decays, in place, and that of the whole chunk; begins with a barrier
template <int W, class T, int C, int K>
TILE_FN void decays(Tile<float, C, K>& g, float (&whole)[K]) {
    group_barrier<W>();
    for_each_index<W, K>([&](int c) {
        float sum = 0;
        for (int i = 0; i < C; i++) sum += g.at(i, c);
        whole[c] = exp<float>(sum);
    });
    group_barrier<W>();
    map<W>(g, g, [](float x, int, int) { return exp<T>(x < -1e5f ? -1e5f : x); });
}

// Pairs of tokens: scores_ij = sum_c q_i k_j decay_c(j to i) for i >= j, system_ij the same of k and k for i > j; the
// rest is zero. q_at and k_at receive what the factors make of q and k.
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
        if constexpr (S > 1) meeting<S / 2>(q, k, q_at, k_at, decay);
    }

    // begins and ends with a barrier
    TILE_FN void form(const Keys& q, const Keys& k, Keys& q_at, Keys& k_at, const Tile<float, C, K>& decay) {
        group_barrier<W>();
        scores.fill(0);
        system.fill(0);
        mma<LOWER_OUT>(scores, q, t(k));
        scores.for_each([](float& y, int i, int j) { y = i == j ? y : 0.f; });
        meeting<C / 2>(q, k, q_at, k_at, decay);
        group_barrier<W>();
    }
};

}  // namespace channels
