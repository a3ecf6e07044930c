// From what pieces of sequences do to the states that enter them, the states that enter them. A piece maps a state, a
// matrix of [K, V], by a matrix from the left, and adds a sum; the sums are overwritten with what enters. Backwards the
// same holds of the gradients of states, from the last piece to the first, by the maps' transposes. What leaves the last
// piece, or backwards the first, is not made here: the pass over that piece leaves it. Neither its map nor its sum is
// read, nor is the map of the piece where nothing enters. Of a sequence and head that forgets (part.h) only the first piece
// is told what enters.
//
// Maps are two matrices of T whose sum they are, high and low, so that products are of operands: what is left out of them
// is below 2^-16 of what is in them.
//
// Piece i belongs to the sequence n whose pieces are firsts[n] .. firsts[n+1].
//
// MappedStates     grid N HV slices     slices = ceil(V / template V)
#include "../chunk/part.h"

namespace delta {
using namespace tile;

struct MappedArgs {
    float* sums;              // [P, HV, K, V], and what enters after it
    const bf16* maps;         // [P, HV, 2, K, K]: high, low, both transposed
    const float* from;        // [N, HV, K, V] or null for zeros
    const long long* firsts;  // [N + 1]
    const long long* windows;       // [P, HV] or null
    int HV, K, V, back;
};
static_assert(sizeof(MappedArgs) == 56, "the launcher's twin must match");

template <class T, int C, int K, int V>
struct MappedStates {
    using Args = MappedArgs;
    static constexpr int WARPS = K / 16, MIN_BLOCKS = 1;
    struct Stage {
        Tile<T, K, K> map[2];
        Tile<float, K, V> sum;
    };
    struct Shared {
        Stage stage[2];
        Tile<T, V, K> state[2];
    };
    using State = Acc<V, K, WARPS>;  // transposed
    struct Place {
        int hv, v0, entry, count;

        // the i-th piece's head
        TILE_FN long long head(const Args& a, int i) const {
            return (long long)(a.back ? entry - i : entry + i) * a.HV + hv;
        }
    };

    // what the i-th piece does, unless nothing comes after it
    static TILE_FN void fetch(Stage& x, const Args& a, const Place& at, int i) {
        if (i + 1 < at.count) {
            const long long head = at.head(a, i);
            const T* map = a.maps + head * 2 * a.K * a.K;
            TILE_UNROLL
            for (int low = 0; low < 2 && (i > 0 || a.from); low++)
                load_async<WARPS>(x.map[low], map + low * a.K * a.K, a.K, a.K, a.K);
            load_async<WARPS>(x.sum, a.sums + head * a.K * a.V + at.v0, a.V, a.K, a.V - at.v0);
        }
        commit();
    }
    static TILE_FN void step(Shared& s, Stage& x, State& S, bool empty, bool back) {
        State next;
        next.fill(0);
        if (!empty) {
            store(s.state[0], S);
            S.for_each([](float& y, int, int) { y -= to_float(round_to<T>(y)); });
            store(s.state[1], S);
            barrier();
            TILE_UNROLL
            for (int n = 0; n < 3; n++) {
                const auto& state = s.state[n == 0];
                auto& map = x.map[n == 1];
                if (back)
                    mma(next, state, t(map));
                else
                    mma(next, state, map);
            }
        }
        zip(next, t(x.sum), [](float& y, float sum, int, int) { y += sum; });
        S = next;
    }

    static TILE_FN void run(Shared& s, const Args& a) {
        const int slices = (a.V + V - 1) / V, head = block_id() / slices, n = head / a.HV, hv = head % a.HV;
        const int lead = (int)a.firsts[n], last = (int)a.firsts[n + 1] - 1;
        const bool forgets = a.windows && sequence::forgets(a.windows, lead, last, a.HV, hv);
        const Place at = {hv, block_id() % slices * V, a.back ? last : lead, forgets ? 1 : last - lead + 1};
        const long long size = (long long)a.K * a.V;
        State S;
        if (a.from)
            load(S, a.from + head * size + at.v0, 1, a.V, a.V - at.v0, a.K);
        else
            S.fill(0);
        fetch(s.stage[0], a, at, 0);
        for (int i = 0; i < at.count; i++) {
            wait<0>();
            barrier();
            fetch(s.stage[(i + 1) % 2], a, at, i + 1);
            store_global(a.sums + at.head(a, i) * size + at.v0, 1, a.V, S, a.V - at.v0, a.K);
            if (i + 1 < at.count) step(s, s.stage[i % 2], S, i == 0 && !a.from, a.back);
        }
    }
};

}  // namespace delta

using delta::MappedStates;
