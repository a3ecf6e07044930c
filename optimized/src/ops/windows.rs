//! Sequences cut into pieces, and launches of `kernels/chunk/windows.cu`, which asks where nothing is left of what was
//! before a window ahead of a cut.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Pieces};
use crate::error::Error;
use crate::shapes::Scalar;
use crate::shapes::windows::windows;

/// Tokens of a piece at least. Sums go in another order where a sequence is cut, so that what is appended to a short
/// one must not have it cut.
const LEAST: usize = 1024;

/// Tokens of a window at most, and what gates of production need of them.
const WINDOW: [usize; 2] = [512, 192];

/// Tokens that are looked at together, in whole chunks.
const ASKED: usize = 64;

/// Of so many lengths of a longer piece, the longer half is compared.
const LENGTHS: usize = 128;

/// What enters a piece: that of its sequence, that of the piece, nothing yet (`Entering` in `part.h`).
pub(super) const OF_SEQUENCE: usize = 0;
pub(super) const OF_NOBODY: usize = 2;
const OF_PIECE: usize = 1;

/// What makes a state smaller from token to token.
#[derive(Clone, Copy)]
pub(super) struct Gates {
    /// Of each channel, or null.
    by_channel: (Ptr, Scalar),
    /// Of each head, or null.
    by_head: Ptr,
    /// Keys and beta of a delta rule, of which the state could grow, or null.
    growth: [Ptr; 2],
}

/// The pieces of a call.
#[derive(Clone, Copy)]
pub(super) struct Cuts {
    pub(super) pieces: Pieces,
    /// Whether some sequence has more than one.
    split: bool,
    /// Whether what pieces do to states is summed up where something is left; else a block takes all of a sequence then.
    pub(super) summed: bool,
    /// Tokens that make what passes a cut, forwards and back; null when there are no gates.
    windows: [Ptr; 2],
}

impl Gates {
    /// Of heads, if there are any; `growth`: as in [`Gates`].
    pub(super) fn of_heads(g: Ptr, growth: ([Ptr; 2], Scalar)) -> Option<Self> {
        let (growth, scalar) = growth;
        (g != Ptr::NULL).then_some(Self { by_channel: (Ptr::NULL, scalar), by_head: g, growth })
    }

    /// Of channels, of this type, if there are any.
    pub(super) fn of_channels(g: Ptr, scalar: Scalar) -> Option<Self> {
        (g != Ptr::NULL).then_some(Self { by_channel: (g, scalar), by_head: Ptr::NULL, growth: [Ptr::NULL; 2] })
    }
}

impl Cuts {
    /// Whole sequences, in chunks of this many tokens.
    pub(super) fn none(job: &mut Job<'_>, chunk: usize) -> Result<Self, Error> {
        let pieces = job.pieces(chunk, longest(job, chunk))?;
        Ok(Self { pieces, split: false, summed: false, windows: [Ptr::NULL; 2] })
    }

    /// Cuts sequences into pieces of whole chunks, if that gives work to multiprocessors that have none; `slices` blocks
    /// work on each head of them, two at once on a multiprocessor where keys are narrow.
    pub(super) fn new(
        job: &mut Job<'_>,
        chunk: usize,
        [heads, slices]: [usize; 2],
        width: usize,
        gates: Option<Gates>,
    ) -> Result<Self, Error> {
        let gates = gates.filter(|_| !job.problem.reversed());
        let [b, t, n] = [Dim::B, Dim::T, Dim::N].map(|d| job.problem.size(d));
        let (multiprocessors, least) = (job.multiprocessors(), LEAST.div_ceil(chunk));
        let each = multiprocessors / (n * heads * slices).max(1);
        let (summed, chunks) = (each >= 2, t.div_ceil(chunk).max(1));
        let most = if summed && n == b {
            // pieces of about the same length, where there is one to choose
            Some(chunks.div_ceil((chunks / least).clamp(1, each)))
        } else if summed {
            Some(most((b * t).div_ceil(chunk), n, n * heads * slices, multiprocessors).max(least))
        } else if gates.is_some() && n == b && t >= 2 * LEAST {
            let slots = multiprocessors * if width > 64 { 1 } else { 2 };
            tail(chunks, [n, heads * slices], slots, WINDOW[1].div_ceil(chunk))
        } else {
            None
        };
        let Some(most) = most else { return Self::none(job, chunk) };
        let pieces = job.pieces(chunk, most)?;
        let split = pieces.count > n;
        let windows = match gates.filter(|_| split) {
            Some(gates) => ask(job, chunk, heads, &pieces, &gates)?,
            None => [Ptr::NULL; 2],
        };
        Ok(Self { pieces, split, summed: split && summed, windows })
    }

    /// The windows that were asked for, and in how many directions.
    pub(super) fn windows(&self, job: &Job<'_>) -> Option<(Ptr, usize)> {
        let [windows, _] = self.windows;
        (windows != Ptr::NULL).then(|| (windows, directions(job)))
    }

    /// The sequences of pieces, their first pieces, and windows: null where nothing is cut.
    pub(super) fn tables(&self, back: bool) -> [Ptr; 3] {
        let Pieces { owners, firsts, .. } = self.pieces;
        if self.split { [owners, firsts, self.windows[usize::from(back)]] } else { [Ptr::NULL; 3] }
    }

    /// A mark for each block of a pass, of which each piece has this many: whether it leaves its part to another kernel.
    pub(super) fn marks(&self, job: &mut Job<'_>, name: &str, each: usize) -> Result<Ptr, Error> {
        job.workspace(name, DType::I64, self.pieces.count * each)
    }

    /// What enters the pieces of a pass.
    pub(super) fn entering(&self) -> usize {
        if self.summed { OF_PIECE } else { OF_SEQUENCE }
    }
}

/// Chunks of the longest sequence.
fn longest(job: &Job<'_>, chunk: usize) -> usize {
    job.problem.longest().div_ceil(chunk).max(1)
}

/// Forwards and, when gradients are wanted, back.
fn directions(job: &Job<'_>) -> usize {
    if job.wants_gradients() { 2 } else { 1 }
}

/// Launches the question, forwards and, when gradients are wanted, back; where nothing comes back the second answer is the
/// first.
fn ask(job: &mut Job<'_>, chunk: usize, heads: usize, pieces: &Pieces, gates: &Gates) -> Result<[Ptr; 2], Error> {
    let directions = directions(job);
    let cells = pieces.count * heads;
    let to = job.workspace("windows", DType::I64, directions * cells)?;
    let ([k, keys], (channels, scalar)) = ([Dim::K, Dim::H].map(|d| job.problem.size(d)), gates.by_channel);
    let [key, beta] = gates.growth;
    let pointers = [channels, key, gates.by_head, beta, to, pieces.layout.offsets, pieces.owners, pieces.firsts];
    let tokens = chunk.max(ASKED / chunk * chunk);
    let args = Args::new(&pointers).ints(&[heads, keys, k, pieces.count, tokens, WINDOW[0] / tokens]);
    let width = job.width(k)?;
    job.launch(windows(scalar, width), directions * cells, args);
    Ok([to, if directions == 2 { to.after(cells * DType::I64.size()) } else { to }])
}

/// Chunks of a piece at most: as many pieces as there are multiprocessors for, where each sequence gets two or more.
fn most(chunks: usize, sequences: usize, blocks: usize, multiprocessors: usize) -> usize {
    let pieces = multiprocessors / blocks.max(1);
    if pieces < 2 { chunks.max(1) } else { chunks.div_ceil(pieces * sequences.max(1)) }
}

/// Where sequences do not fill the last round of blocks: chunks of a longer piece, so that what is behind it can be done
/// beside it. Nothing, where that gains less than a twelfth.
fn tail(chunks: usize, [n, heads]: [usize; 2], slots: usize, window: usize) -> Option<usize> {
    let blocks = n * heads;
    if slots == 0 || blocks == 0 || blocks > 4 * slots {
        return None;
    }
    let whole = blocks.div_ceil(slots) * chunks;
    let takes = |long: usize| {
        let mut free: BinaryHeap<_> = std::iter::repeat_n(Reverse(0), slots).collect();
        for length in std::iter::repeat_n([long, chunks - long + window], n).flatten() {
            for _ in 0..heads {
                let Reverse(at) = free.pop().unwrap_or_default();
                free.push(Reverse(at + length));
            }
        }
        free.into_iter().map(|Reverse(at)| at).max().unwrap_or_default()
    };
    let lengths = (chunks.div_ceil(2)..chunks).step_by((chunks / LENGTHS).max(1));
    let (best, long) = lengths.map(|long| (takes(long), long)).min()?;
    (12 * best <= 11 * whole).then_some(long)
}

#[cfg(test)]
mod tests {
    use super::{most, tail};

    #[test]
    fn sequences_are_cut_only_where_each_gets_two_pieces() {
        assert_eq!(most(128, 1, 96, 132), 128, "a whole sequence");
        assert_eq!(most(512, 1, 8, 132), 32, "16 pieces of each");
        assert_eq!(most(512, 2, 32, 132), 64, "4 pieces of each of two");
        assert_eq!(most(2048, 1, 4, 0), 2048, "nobody knows the device");
    }

    #[test]
    fn a_round_that_is_not_full_is_filled() {
        assert_eq!(
            tail(128, [1, 96], 132, 3),
            Some(98),
            "three short ones behind one another take as long as a long one"
        );
        assert_eq!(tail(128, [1, 80], 132, 3), Some(87), "two");
        assert_eq!(tail(128, [1, 128], 132, 3), None, "nearly full");
        assert_eq!(tail(128, [8, 96], 132, 3), None, "many rounds");
        assert_eq!(tail(128, [1, 96], 0, 3), None, "nobody knows the device");
    }
}
