//! Launches of `kernels/chunk/pieces.cu`: what pieces of sequences do to states, where they are cut for want of heads.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::ops::windows::Cuts;
use crate::shapes::pieces::{ELEMENTS, STATES};

/// The pieces of a call, and what each does to a state.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) cuts: Cuts,
    /// Decays of heads, or of their channels of keys.
    decays: Ptr,
    by_channel: bool,
}

impl Sums {
    pub(super) fn new(job: &mut Job<'_>, cuts: Cuts, by_channel: bool) -> Result<Self, Error> {
        let [h, k] = [Dim::H, Dim::K].map(|d| job.problem.size(d));
        let elements = cuts.pieces.count * h * if by_channel { k } else { 1 };
        let decays = if cuts.summed { job.workspace("decays", DType::F32, elements)? } else { Ptr::NULL };
        Ok(Self { cuts, decays, by_channel })
    }

    /// A state for every piece.
    pub(super) fn workspace(&self, job: &mut Job<'_>, name: &str) -> Result<Ptr, Error> {
        let state: usize = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d)).iter().product();
        job.workspace(name, DType::F32, self.cuts.pieces.count * state)
    }

    /// What the kernel that sums pieces up writes, behind its inputs, and the tables of pieces.
    pub(super) fn outputs(&self, sums: Ptr) -> [Ptr; 8] {
        let layout = self.cuts.pieces.layout;
        let ([owners, firsts, windows], [.., windows_back]) = (self.cuts.tables(false), self.cuts.tables(true));
        [sums, self.decays, layout.offsets, layout.chunks, owners, firsts, windows, windows_back]
    }

    /// Makes what pieces add to states the states that enter them, `back`: the gradients that enter from behind.
    pub(super) fn join(&self, job: &mut Job<'_>, sums: Ptr, from: Ptr, back: bool) {
        let [n, h, k, v] = [Dim::N, Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        let slices = (k * v).div_ceil(ELEMENTS);
        let [_, firsts, windows] = self.cuts.tables(back);
        let back = back != job.problem.reversed();
        let args = Args::new(&[sums, self.decays, from, firsts, windows]);
        job.launch(STATES, n * h * slices, args.ints(&[h, k, v, slices, self.by_channel.into(), back.into()]));
    }
}
