// From what pieces of sequences do to the states that enter them, the states that enter them. A piece multiplies a state
// with a decay (of the head, or of each of its channels of keys) and adds a sum; the sums are overwritten with what
// enters. Backwards the same holds of the gradients of states, from the last piece to the first. What leaves the last one is
// not made here: the pass over that piece leaves it. Of a sequence and head that forgets (part.h) only the first piece is
// told what enters.
//
// Piece i belongs to the sequence n whose pieces are firsts[n] .. firsts[n+1].
//
// PieceStates     grid N H slices     slices = ceil(K V / 1024)
#include "part.h"

namespace pieces {
using namespace tile;

struct StatesArgs {
    float* sums;              // [P, H, K, V], and what enters after it
    const float *decays;      // [P, H], or [P, H, K] by channel
    const float* from;        // [N, H, K, V] or null for zeros
    const long long* firsts;  // [N + 1]
    const long long* windows;       // [P, H] or null
    int H, K, V, slices, by_channel, back;
};
static_assert(sizeof(StatesArgs) == 64, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct PieceStates {
    using Args = StatesArgs;
    static constexpr int WARPS = 256 / TILE_LANES, MIN_BLOCKS = 1, ELEMENTS = C * K;
    static constexpr int AHEAD = 8;  // loads under way at once
    struct Shared {
        float nothing;
    };

    static TILE_FN void run(Shared&, const Args& a) {
        const int state = block_id() / a.slices, n = state / a.H, h = state % a.H, size = a.K * a.V;
        const int first = block_id() % a.slices * ELEMENTS, lead = (int)a.firsts[n], all = (int)a.firsts[n + 1] - lead;
        const bool forgets = a.windows && sequence::forgets(a.windows, lead, lead + all - 1, a.H, h);
        const int count = forgets ? 1 : all;
        for_each_index<WARPS, ELEMENTS>([&](int i) {
            const int e = first + i;
            if (e >= size) return;
            const long long here = (long long)state * size + e;
            float x = a.from ? a.from[here] : 0.f;
            for (int p = 0; p < count; p += AHEAD) {
                float* at[AHEAD];
                float sum[AHEAD], decay[AHEAD];
                TILE_UNROLL
                for (int d = 0; d < AHEAD; d++) {
                    const int q = p + d < count ? p + d : count - 1;
                    const long long piece = (long long)(lead + (a.back ? all - 1 - q : q)) * a.H + h;
                    at[d] = a.sums + piece * size + e;
                    sum[d] = *at[d];
                    decay[d] = a.decays[a.by_channel ? piece * a.K + e / a.V : piece];
                }
                TILE_UNROLL
                for (int d = 0; d < AHEAD; d++) {
                    if (p + d >= count) continue;
                    *at[d] = x;
                    x = fused(decay[d], x, sum[d]);
                }
            }
        });
    }
};

}  // namespace pieces

using pieces::PieceStates;
