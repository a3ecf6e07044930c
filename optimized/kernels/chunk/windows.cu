// How many tokens ahead of a cut make the state that passes it, because the gates leave no more than 2^-32 of what was
// before them; and how many behind it make the gradient of that state. Where keys change what gates leave, by
// I - beta k k^T, its norm counts too: more than 1 where beta |k|^2 is more than 2.
//
// Gates by channel say what a channel keeps; where keys carry from one channel to another, that is not all of it, and
// KdaPieces looks at the map of the window itself.
//
// Windows   grid P H directions, the second of which is back
// Piece i belongs to the sequence n whose pieces are firsts[n] .. firsts[n+1]; the cut is the one before it.
//
// Instances (T, C, K, V): K the padded width of keys, C the most tokens of a chunk; V is not used.
#include "part.h"

namespace sequence {

template <class T>
struct WindowsArgs {
    const T *g, *k;                 // [B T, H, K] or null; [B T, HK, K] or null: no norm
    const float *by_head, *beta;    // [B T, H] twice: gates; each may be null
    long long* windows;                // [directions, P, H] tokens, whole chunks; 0: not within the most; first pieces: 0
    const long long* offsets;       // [P + 1]
    const int* owners;              // [P]
    const long long* firsts;        // [N + 1]
    int H, HK, K, P, chunk, most;   // tokens of a chunk; the most chunks of a window
};
static_assert(sizeof(WindowsArgs<bf16>) == 88, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct Windows {
    using Args = WindowsArgs<T>;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1, PARTS = 256 / K, LOTS = 16;
    static constexpr float NATS = 22.2f;  // 32 bits
    struct Shared {
        float share[PARTS][K], left[K];  // what a channel has lost so far, in nats
        float lots[C][LOTS], square[C], scratch[WARPS];
    };

    // adds what channels lose in a chunk of tokens to left, and what all lose to tokens; returns the least that any has lost
    static TILE_FN float lose(Shared& s, const Args& a, long long row, int h, float& tokens) {
        float lost = 0;
        for_each_index<WARPS, PARTS * K>([&](int i) {
            const int part = i / K, c = i % K;
            float sum = 0;
            if (a.g && c < a.K) {
                TILE_UNROLL
                for (int t = part; t < C; t += PARTS)
                    if (t < a.chunk) sum -= to_float(a.g[((row + t) * a.H + h) * a.K + c]);
            }
            s.share[part][c] = sum;
        });
        if (a.k) squares(s, a, row, h / (a.H / a.HK));
        for_each_index<WARPS, C>([&](int t) {
            if (t >= a.chunk) return;
            const long long head = (row + t) * a.H + h;
            if (a.by_head) lost -= a.by_head[head];
            if (a.k) lost -= growth(s.square[t], a.beta[head]);
        });
        tokens += total<WARPS>(s.scratch, lost);
        for_each_index<WARPS, K>([&](int c) {
            float sum = s.left[c];
            TILE_UNROLL
            for (int part = 0; part < PARTS; part++) sum += s.share[part][c];
            s.left[c] = c < a.K ? sum : NATS;
        });
        barrier();
        return tokens + (a.g ? lowest(s.left) : 0);
    }
    // |k|^2 of a chunk of tokens
    static TILE_FN void squares(Shared& s, const Args& a, long long row, int h) {
        for_each_index<WARPS, C * LOTS>([&](int i) {
            const int t = i / LOTS, lot = i % LOTS;
            const T* k = a.k + ((row + t) * a.HK + h) * a.K;
            float sum = 0;
            TILE_UNROLL
            for (int c = lot; c < K; c += LOTS) {
                const float x = t < a.chunk && c < a.K ? to_float(k[c]) : 0.f;
                sum = fused(x, x, sum);
            }
            s.lots[t][lot] = sum;
        });
        barrier();
        for_each_index<WARPS, C>([&](int t) {
            float sum = 0;
            TILE_UNROLL
            for (int lot = 0; lot < LOTS; lot++) sum += s.lots[t][lot];
            s.square[t] = sum;
        });
        barrier();
    }
    // an upper bound of the logarithm of the norm of I - beta k k^T, of |k|^2
    static TILE_FN float growth(float square, float beta) {
        const float norm = beta * square - 1;
        return norm > 1 ? norm - 1 : 0;
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int h = block_id() % a.H, piece = block_id() / a.H % a.P, back = block_id() / a.H / a.P, n = a.owners[piece];
        const bool cut = piece > (int)a.firsts[n];
        const long long here = a.offsets[piece], before = cut ? here - a.offsets[piece - 1] : 0;
        const long long room = back ? a.offsets[piece + 1] - here : before;
        const int most = !cut ? 0 : room / a.chunk < a.most ? (int)(room / a.chunk) : a.most;
        for_each_index<WARPS, K>([&](int c) { s.left[c] = 0; });
        int window = 0;
        float tokens = 0;
        for (int i = 1; i <= most && window == 0; i++) {
            barrier();
            const float lost = lose(s, a, here + (long long)(back ? i - 1 : -i) * a.chunk, h, tokens);
            if (lost >= NATS) window = i * a.chunk;
            if (i > 1 && lost * a.most < NATS / 2 * i) break;  // it will not be in time
        }
        for_each_index<WARPS, 1>([&](int) { a.windows[block_id()] = window; });
    }
};

}  // namespace sequence

using sequence::Windows;
