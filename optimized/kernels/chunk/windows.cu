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
    // lots of tokens that are looked at together: it is memory that they wait for, and gates of production need three
    static constexpr int LOTS = 4;
    static constexpr int WARPS = 1024 / TILE_LANES, MIN_BLOCKS = 1, PARTS = 256 / K, SHARES = 16;
    static constexpr float NATS = 22.2f;  // 32 bits
    struct Shared {
        float channel[LOTS][PARTS][K], left[K];  // what a channel loses in a lot, and has lost so far, in nats
        float squares[LOTS][C][SHARES], gate[LOTS][C], beta[LOTS][C], scratch[WARPS];
    };
    // what lies ahead of a cut, or behind it
    struct Side {
        long long here;
        int chunk, most, back;

        // of a token of the i-th lot from the cut, counted from 1
        TILE_FN long long row(int i, int token) const {
            return here + static_cast<long long>(back ? i - 1 : -i) * chunk + token;
        }
        TILE_FN bool has(int i, int token) const { return i <= most && token < chunk; }
    };

    static TILE_FN void fetch(Shared& s, const Args& a, const Side& side, int first, int h) {
        for_each_index<WARPS, LOTS * PARTS * K>([&](int i) {
            const int lot = i / K / PARTS, part = i / K % PARTS, c = i % K;
            const long long row = side.row(first + lot, 0);
            float sum = 0;
            if (a.g && c < a.K && side.has(first + lot, 0)) {
                TILE_UNROLL
                for (int t = part; t < C; t += PARTS)
                    if (t < a.chunk) sum -= to_float(a.g[((row + t) * a.H + h) * a.K + c]);
            }
            s.channel[lot][part][c] = sum;
        });
        for_each_index<WARPS, LOTS * C>([&](int i) {
            const int lot = i / C, t = i % C;
            const bool has = side.has(first + lot, t);
            const long long head = side.row(first + lot, t) * a.H + h;
            s.gate[lot][t] = has && a.by_head ? a.by_head[head] : 0.f;
            s.beta[lot][t] = has && a.k ? a.beta[head] : 0.f;
        });
        if (!a.k) return;
        for_each_index<WARPS, LOTS * C * SHARES>([&](int i) {
            const int lot = i / SHARES / C, t = i / SHARES % C, share = i % SHARES;
            const long long head = side.row(first + lot, t) * a.HK + h / (a.H / a.HK);
            const bool has = side.has(first + lot, t);
            float sum = 0;
            TILE_UNROLL
            for (int c = share; c < K; c += SHARES) {
                const float x = has && c < a.K ? to_float(a.k[head * a.K + c]) : 0.f;
                sum = fused(x, x, sum);
            }
            s.squares[lot][t][share] = sum;
        });
    }
    // what a token makes of every channel
    static TILE_FN float lost(const Shared& s, const Args& a, int lot, int t) {
        float square = 0;
        TILE_UNROLL
        for (int share = 0; share < SHARES; share++) square += a.k ? s.squares[lot][t][share] : 0.f;
        return -s.gate[lot][t] - growth(square, s.beta[lot][t]);
    }
    // an upper bound of the logarithm of the norm of I - beta k k^T, of |k|^2
    static TILE_FN float growth(float square, float beta) {
        const float norm = beta * square - 1;
        return norm > 1 ? norm - 1 : 0;
    }
    // adds what channels lose in a lot to left, and what all lose to tokens; returns the least that any has lost
    static TILE_FN float lose(Shared& s, const Args& a, int lot, float& tokens) {
        tokens += sum<WARPS>(s.scratch, C, [&](int64_t t) { return lost(s, a, lot, (int)t); });
        for_each_index<WARPS, K>([&](int c) {
            float sum = s.left[c];
            TILE_UNROLL
            for (int part = 0; part < PARTS; part++) sum += s.channel[lot][part][c];
            s.left[c] = c < a.K ? sum : NATS;
        });
        barrier();
        return tokens + (a.g ? lowest(s.left) : 0);
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int h = block_id() % a.H, piece = block_id() / a.H % a.P, back = block_id() / a.H / a.P, n = a.owners[piece];
        const bool cut = piece > (int)a.firsts[n];
        const long long here = a.offsets[piece], before = cut ? here - a.offsets[piece - 1] : 0;
        const long long room = back ? a.offsets[piece + 1] - here : before;
        const int all = !cut ? 0 : room / a.chunk < a.most ? (int)(room / a.chunk) : a.most;
        const Side side = {here, a.chunk, all, back};
        for_each_index<WARPS, K>([&](int c) { s.left[c] = 0; });
        int window = 0, most = all;
        float tokens = 0;
        for (int i = 1; i <= most && window == 0; i++) {
            const int lot = (i - 1) % LOTS;
            if (lot == 0) {
                barrier();
                fetch(s, a, side, i, h);
                barrier();
            }
            const float lost = lose(s, a, lot, tokens);
            if (lost >= NATS) window = i * a.chunk;
            if (i > 1 && lost * a.most < NATS / 2 * i) most = 0;  // it will not be in time
        }
        for_each_index<WARPS, 1>([&](int) { a.windows[block_id()] = window; });
    }
};

}  // namespace sequence

using sequence::Windows;
