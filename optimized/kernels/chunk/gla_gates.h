// Gates of channels: sums over a chunk, operands that they are folded into, and what cannot be folded.
//
// With G_ic the sum of channel c's log decays from the chunk's beginning up to and including token i, a pair of
// tokens is worth exp(G_i - G_j) = exp(G_i) exp(-G_j). The first factor goes into what reads, the second into what is
// read. It grows, so channels of tokens with G_jc < -reach are left out of the product (they are *late*), and what
// they are worth is added pair by pair, in f32. Whether a token's channel is late depends on the tokens before it
// alone, and so does each bit of an output. What goes on to the chunk's end has exp(G_last - G_j) <= 1 folded in,
// whatever the gates.
#pragma once
#include "sequence.h"

namespace gla {
using namespace sequence;

// exp(reach) times an operand, and sums of such products, stay within their types, also where both sides have gates
template <class T, bool BOTH>
constexpr float REACH = BOTH ? 32.f : 64.f;
template <bool BOTH>
constexpr float REACH<f16, BOTH> = BOTH ? 3.f : 6.f;

// exp of it is zero; a sum with more in it would only lose its last places
constexpr float LEAST = -110.f;

template <bool WITH, class X>
struct Maybe {
    X x;
};
template <class X>
struct Maybe<false, X> {};

// exp(-G) of a channel that is not late
template <class T>
TILE_FN float rise(float G, float reach) {
    return G < -reach ? 0.f : exp<T>(-G);
}

template <int W, int R, int N, class T>
TILE_FN void sums(Columns<R, N, W>& G, const Tile<T, R, N>& g, float (&last)[N],
                  float (&scratch)[Columns<R, N, W>::SCRATCH]) {
    G.for_each([&](float& x, float& y, int r, int c) {
        g.get_pair(x, y, r, c);
        x = x < LEAST ? LEAST : x;
        y = y < LEAST ? LEAST : y;
    });
    running_sums<W>(G, last, scratch);
}
// tile times f(G)
template <class T, int R, int N, int W, class F>
TILE_FN void fold(Tile<T, R, N>& tile, Columns<R, N, W>& G, F f) {
    G.for_each([&](float& x, float& y, int r, int c) {
        float a, b;
        tile.get_pair(a, b, r, c);
        tile.set_pair(r, c, a * f(x, c), b * f(y, c + 1));
    });
}

// a head's rows of a chunk in global memory, for the odd element
template <class T>
struct Elements {
    const T* ptr;
    long long ld;
    int rows, columns;

    TILE_FN Elements(const T* base, const Sequence& seq, int token, int H, int h, int width, int column)
        : ptr(base), ld(0), rows(seq.length - token), columns(width - column) {
        if (!base) return;
        const Rows<const T> at(base, seq, token, H, h, width, column);
        ptr = at.ptr;
        ld = at.ld;
    }
    TILE_FN float at(int r, int c) const { return ptr && r < rows && c < columns ? to_float(ptr[r * ld + c]) : 0.f; }
};

// what late channels add to the products of the pairs i >= j, times scale; zero elsewhere
template <int W, class T, int C, int N>
TILE_FN void late_products(Tile<T, C, C>& out, const Elements<T>& left, const Elements<T>& right,
                           const Tile<float, C, N>& G, float reach, float scale) {
    for_each_rolled<W>(C * C, [&](int n) {
        const int i = n / C, j = n % C;
        float sum = 0;
        TILE_ROLL
        for (int c = 0; c < N && i >= j; c++) {
            const float from = G.at(j, c);
            if (from < -reach) sum += left.at(i, c) * right.at(j, c) * exp<T>(G.at(i, c) - from);
        }
        out.set(i, j, scale * sum);
    });
}
// what late tokens j <= i add to channel c of token i: sum of p_ij x_jc exp(G_i - G_j)
template <class T, int C, int N>
TILE_FN float late_before(const Tile<T, C, C>& p, const Elements<T>& x, const Tile<float, C, N>& G, float reach, int i,
                          int c) {
    float sum = 0;
    TILE_ROLL
    for (int j = 0; j <= i; j++)
        if (G.at(j, c) < -reach) sum += p.at(i, j) * x.at(j, c) * exp<T>(G.at(i, c) - G.at(j, c));
    return sum;
}
// what tokens i >= j add to channel c of a late token j: sum of p_ij x_ic exp(G_i - G_j)
template <class T, int C, int N>
TILE_FN float late_after(const Tile<T, C, C>& p, const Elements<T>& x, const Tile<float, C, N>& G, float reach, int j,
                         int c) {
    float sum = 0;
    TILE_ROLL
    for (int i = j; i < C && G.at(j, c) < -reach; i++)
        sum += p.at(i, j) * x.at(i, c) * exp<T>(G.at(i, c) - G.at(j, c));
    return sum;
}

}  // namespace gla
