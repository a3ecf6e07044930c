//! Launches of `kernels/delta/pieces.cu`: sequences of the delta rules cut into pieces, which map a state by a matrix.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::ops::prologue::value_heads;
use crate::ops::windows::Cuts;
use crate::shapes::maps::states;

/// The pieces of a call, and what each does to a state.
#[derive(Clone, Copy)]
pub(super) struct Maps {
    pub(super) cuts: Cuts,
    width: usize,
    /// A matrix for each piece and head, in two parts.
    maps: Ptr,
}

impl Maps {
    pub(super) fn new(job: &mut Job<'_>, cuts: Cuts, width: usize) -> Result<Self, Error> {
        let (hv, k) = (value_heads(job), job.problem.size(Dim::K));
        let elements = cuts.pieces.count * hv * 2 * k * k;
        let maps = if cuts.summed { job.workspace("maps", DType::Bf16, elements)? } else { Ptr::NULL };
        Ok(Self { cuts, width, maps })
    }

    /// A state for every piece.
    pub(super) fn workspace(&self, job: &mut Job<'_>, name: &str) -> Result<Ptr, Error> {
        let [k, v] = [Dim::K, Dim::V].map(|d| job.problem.size(d));
        let elements = self.cuts.pieces.count * value_heads(job) * k * v;
        job.workspace(name, DType::F32, elements)
    }

    /// Where the tables of pieces are, and before them where maps go: null where nothing is cut.
    pub(super) fn pointers(&self) -> [Ptr; 7] {
        let layout = self.cuts.pieces.layout;
        let ([owners, firsts, windows], [.., windows_back]) = (self.cuts.tables(false), self.cuts.tables(true));
        [self.maps, layout.offsets, layout.chunks, owners, firsts, windows, windows_back]
    }

    /// Makes what pieces add to states the states that enter them, `back`: the gradients that enter from behind.
    pub(super) fn join(&self, job: &mut Job<'_>, sums: Ptr, from: Ptr, back: bool) {
        let [n, k, v] = [Dim::N, Dim::K, Dim::V].map(|d| job.problem.size(d));
        let (hv, kernel) = (value_heads(job), states(self.width));
        let [_, firsts, windows] = self.cuts.tables(back);
        let args = Args::new(&[sums, self.maps, from, firsts, windows]).ints(&[hv, k, v, back.into()]);
        job.launch(kernel, n * hv * v.div_ceil(kernel.slice), args);
    }
}
