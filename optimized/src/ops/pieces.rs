//! Launches of `kernels/chunk/pieces.cu`: sequences cut into pieces where there are too few of them to fill a device.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Pieces};
use crate::error::Error;
use crate::shapes::pieces::{ELEMENTS, STATES};

/// Tokens of a piece at least. Sums go in another order where a sequence is cut, so that what is appended to a short
/// one must not have it cut.
const LEAST: usize = 1024;

/// The pieces of a call, and what each does to a state.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) pieces: Pieces,
    /// Whether some sequence has more than one.
    pub(super) split: bool,
    /// Decays of heads, or of their channels of keys.
    decays: Ptr,
    by_channel: bool,
}

impl Cut {
    /// Cuts sequences into pieces of whole chunks, if `may`; `slices` blocks work on a sequence of a head.
    pub(super) fn new(
        job: &mut Job<'_>,
        chunk: usize,
        slices: usize,
        by_channel: bool,
        may: bool,
    ) -> Result<Self, Error> {
        let [n, h, k] = [Dim::N, Dim::H, Dim::K].map(|d| job.problem.size(d));
        let pieces = cut(job, chunk, h * slices, may)?;
        let split = pieces.count > n;
        let elements = pieces.count * h * if by_channel { k } else { 1 };
        let decays = if split { job.workspace("decays", DType::F32, elements)? } else { Ptr::NULL };
        Ok(Self { pieces, split, decays, by_channel })
    }

    /// A state for every piece.
    pub(super) fn workspace(&self, job: &mut Job<'_>, name: &str) -> Result<Ptr, Error> {
        let state: usize = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d)).iter().product();
        job.workspace(name, DType::F32, self.pieces.count * state)
    }

    /// What the kernel that sums pieces up writes, behind its inputs.
    pub(super) fn outputs(&self, sums: Ptr) -> [Ptr; 4] {
        [sums, self.decays, self.pieces.layout.offsets, self.pieces.layout.chunks]
    }

    /// Makes what pieces add to states the states that enter them, `back`: the gradients that enter from behind.
    pub(super) fn join(&self, job: &mut Job<'_>, sums: Ptr, [from, to]: [Ptr; 2], back: bool) {
        let [n, h, k, v] = [Dim::N, Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        let slices = (k * v).div_ceil(ELEMENTS);
        let back = back != job.problem.reversed();
        let args = Args::new(&[sums, self.decays, from, to, self.pieces.firsts]);
        job.launch(STATES, n * h * slices, args.ints(&[h, k, v, slices, self.by_channel.into(), back.into()]));
    }
}

/// Cuts sequences into pieces of whole chunks, if `may`; `blocks` work on each sequence.
pub(super) fn cut(job: &mut Job<'_>, chunk: usize, blocks: usize, may: bool) -> Result<Pieces, Error> {
    let [b, t, n] = [Dim::B, Dim::T, Dim::N].map(|d| job.problem.size(d));
    let multiprocessors = if may { job.multiprocessors() } else { 0 };
    let most = most((b * t).div_ceil(chunk), n, n * blocks, multiprocessors).max(LEAST.div_ceil(chunk));
    job.pieces(chunk, most)
}

/// Chunks of a piece at most: as many pieces as there are multiprocessors for, where each sequence gets two or more.
fn most(chunks: usize, sequences: usize, blocks: usize, multiprocessors: usize) -> usize {
    let pieces = multiprocessors / blocks.max(1);
    if pieces < 2 { chunks.max(1) } else { chunks.div_ceil(pieces * sequences.max(1)) }
}

#[cfg(test)]
mod tests {
    use super::most;

    #[test]
    fn sequences_are_cut_only_where_each_gets_two_pieces() {
        assert_eq!(most(128, 1, 96, 132), 128, "a whole sequence");
        assert_eq!(most(512, 1, 8, 132), 32, "16 pieces of each");
        assert_eq!(most(512, 2, 32, 132), 64, "4 pieces of each of two");
        assert_eq!(most(2048, 1, 4, 0), 2048, "nobody knows the device");
    }
}
