// What a block works on where sequences are cut into pieces, and what enters it.
//
// Where the gates leave nothing of what was before a window of tokens ahead of a cut (windows.cu asks), the block of the
// piece behind it walks the window first, from no state, and gives nothing away of it; backwards the window lies behind
// the piece. Where they leave something, either the pieces' shares of a state were summed up before, so that what
// enters is known by piece, or the block of a sequence's first piece takes all of it and the others are idle. All cuts
// of a sequence and head go one way.
#pragma once
#include "../tile/tile.h"

namespace sequence {
using namespace tile;

// the step in which a block met what it has no code for, before it has
constexpr int NOT_YET = 1 << 30;

// Whose state, or gradient of one, enters: a sequence's, a piece's, or nobody's, where shares are being summed up.
enum Entering { OF_SEQUENCE, OF_PIECE, OF_NOBODY };

struct Part {
    int sequence, first, last;  // its pieces
    int before, behind;         // tokens of windows
    int entry;                  // whose state enters, if there is one
    bool enters, begins, ends;  // whether one does, and whether this part has the sequence's beginning, its end
    bool idle;

    TILE_FN long long from(const long long* offsets) const { return offsets[first] - before; }
    TILE_FN long long to(const long long* offsets) const { return offsets[last + 1] + behind; }
};

// whether each cut of a sequence, before pieces lead + 1 to last, has its window
TILE_FN bool forgets(const long long* windows, int lead, int last, int H, int h) {
    int without = 0;
    for (int p = lead + 1; p <= last; p++) without += windows[(long long)p * H + h] == 0;
    return without == 0;
}

// the pieces of the sequence that one of them belongs to
struct Siblings {
    int sequence, lead, last;

    template <class Args>
    TILE_FN Siblings(const Args& a, int piece)
        : sequence(a.owners[piece]), lead((int)a.firsts[sequence]), last((int)a.firsts[sequence + 1] - 1) {}
    TILE_FN bool forget(const long long* windows, int H, int h) const { return forgets(windows, lead, last, H, h); }
};

// The part of the block that has a piece; BACK: it begins at the end. Arguments without owners: nothing is cut; without
// windows: nothing is known to be forgotten. Where the recurrence is reversed there are none.
template <bool BACK, class Args>
TILE_FN Part part(const Args& a, int piece, int H, int h, int reverse) {
    if (!a.owners) return {piece, piece, piece, 0, 0, piece, true, true, true, false};
    const Siblings all(a, piece);
    const bool first = piece == all.lead, final = piece == all.last;
    Part x = {all.sequence, piece, piece, 0, 0, a.entering == OF_SEQUENCE ? all.sequence : piece, a.entering != OF_NOBODY,
              reverse ? final : first, reverse ? first : final, false};
    if (!a.windows || all.lead == all.last) return x;
    if (!all.forget(a.windows, H, h)) {
        if (a.entering == OF_SEQUENCE) x.idle = !first, x.last = all.last, x.ends = true;
    } else if (a.entering == OF_NOBODY) {
        x.idle = true;
    } else if (BACK ? !final : !first) {
        const int window = (int)a.windows[(long long)(BACK ? piece + 1 : piece) * H + h];
        x.enters = false;
        if (BACK)
            x.behind = window;
        else
            x.before = window;
    }
    return x;
}

// Whether nobody needs to know what a piece does to a state: its sequence forgets, and what comes back does too.
template <class Args>
TILE_FN bool forgets_both_ways(const Args& a, int piece, int H, int h) {
    const Siblings all(a, piece);
    return a.windows && all.forget(a.windows, H, h) && all.forget(a.windows_back, H, h);
}

}  // namespace sequence
