//! Launches of `kernels/delta/pieces.cu`: sequences of the delta rules cut into pieces, which map a state by a matrix.

use reference::spec::Dim;
use reference::tensor::DType;

use super::pieces;
use crate::args::{Args, Ptr};
use crate::engine::{Job, Pieces};
use crate::error::Error;
use crate::ops::prologue::value_heads;
use crate::shapes::maps::states;

/// The pieces of a call, and what each does to a state.
#[derive(Clone, Copy)]
pub(super) struct Maps {
    pub(super) pieces: Pieces,
    /// Whether some sequence has more than one.
    pub(super) split: bool,
    width: usize,
    /// A matrix for each piece and head, in two parts.
    maps: Ptr,
}

impl Maps {
    /// Cuts sequences into pieces of whole chunks, if `may`; `slices` blocks work on a sequence of a head.
    pub(super) fn new(job: &mut Job<'_>, chunk: usize, width: usize, slices: usize, may: bool) -> Result<Self, Error> {
        let (hv, k) = (value_heads(job), job.problem.size(Dim::K));
        let pieces = pieces::cut(job, chunk, hv * slices, may)?;
        let split = pieces.count > job.problem.size(Dim::N);
        let elements = pieces.count * hv * 2 * k * k;
        let maps = if split { job.workspace("maps", DType::Bf16, elements)? } else { Ptr::NULL };
        Ok(Self { pieces, split, width, maps })
    }

    /// A state for every piece.
    pub(super) fn workspace(&self, job: &mut Job<'_>, name: &str) -> Result<Ptr, Error> {
        let [k, v] = [Dim::K, Dim::V].map(|d| job.problem.size(d));
        let elements = self.pieces.count * value_heads(job) * k * v;
        job.workspace(name, DType::F32, elements)
    }

    /// Where maps go, and the tables of pieces: null where nothing is cut.
    pub(super) fn pointers(&self) -> [Ptr; 3] {
        let Pieces { owners, firsts, .. } = self.pieces;
        if self.split { [self.maps, owners, firsts] } else { [Ptr::NULL; 3] }
    }

    /// Makes what pieces add to states the states that enter them, `back`: the gradients that enter from behind.
    pub(super) fn join(&self, job: &mut Job<'_>, sums: Ptr, from: Ptr, back: bool) {
        let [n, k, v] = [Dim::N, Dim::K, Dim::V].map(|d| job.problem.size(d));
        let (hv, kernel) = (value_heads(job), states(self.width));
        let args = Args::new(&[sums, self.maps, from, self.pieces.firsts]).ints(&[hv, k, v, back.into()]);
        job.launch(kernel, n * hv * v.div_ceil(kernel.slice), args);
    }
}
