//! What runs through the blocks of a decoder.
//!
//! Plainly, a sum: each block reads its norm and adds to it. With `attnres`, the sum begins anew every
//! `attnres_block_size` half-blocks, and each half-block reads a mixture, by its own query, of the sums so far (the op
//! `attnres`).

use ndarray::{Array2, Axis, stack};

use crate::algebra::stored;
use crate::call::Call;
use crate::modules::rms_norm::normalise;
use crate::ops;
use crate::real::Real;
use crate::unit::Unit;

/// The residual stream of one sequence, `[T, D]`.
pub(super) struct Stream<'a, F> {
    x: &'a Unit<'a, F>,
    eps: f64,
    /// Half-blocks of a sum, with attention residuals.
    block: Option<usize>,
    /// Sums that are complete.
    sources: Vec<Array2<F>>,
    /// The sum to which blocks add; none when it has just begun.
    sum: Option<Array2<F>>,
}

impl<'a, F: Real> Stream<'a, F> {
    pub(super) fn new(x: &'a Unit<'a, F>, embedded: Array2<F>) -> Self {
        let block = x.problem.flag("attnres").then(|| x.problem.number("attnres_block_size").unwrap_or(2.0) as usize);
        let eps = x.problem.number("norm_eps").unwrap_or(1e-6);
        Self { x, eps, block, sources: Vec::new(), sum: Some(embedded) }
    }

    /// What a half-block reads: normed by `<norm>.weight`, and mixed by the query `<residual>_proj.weight`.
    pub(super) fn enter(&mut self, half: usize, residual: &str, norm: &str) -> Array2<F> {
        let Some(block) = self.block else { return self.normed(norm) };
        let hidden = if half == 0 { self.normed(norm) } else { self.mixture(residual, Some(norm)) };
        if half.is_multiple_of(block.max(1)) {
            self.sources.extend(self.sum.take());
        }
        hidden
    }

    /// Adds what a half-block gives.
    pub(super) fn add(&mut self, y: Array2<F>) {
        self.sum = Some(match self.sum.take() {
            Some(sum) => stored(sum + y),
            None => y,
        });
    }

    /// What the head reads.
    pub(super) fn leave(&self, residual: &str, norm: &str) -> Array2<F> {
        if self.block.is_some() { self.mixture(residual, Some(norm)) } else { self.normed(norm) }
    }

    /// The stream as it is, to be read by the way.
    pub(super) fn read(&self, residual: &str) -> Array2<F> {
        if self.block.is_some() { self.mixture(residual, None) } else { self.sum().clone() }
    }

    fn sum(&self) -> &Array2<F> {
        self.sum.as_ref().expect("without attention residuals the sum never begins anew")
    }

    fn normed(&self, norm: &str) -> Array2<F> {
        normalise(self.sum(), Some(self.x.tensor(&format!("{norm}.weight"))), self.eps)
    }

    fn mixture(&self, residual: &str, norm: Option<&str>) -> Array2<F> {
        let sources: Vec<_> = self.sources.iter().chain(&self.sum).map(|s| s.view()).collect();
        let residuals = stack(Axis(0), &sources).expect("sums have one shape");
        let mut call = Call::of(&ops::attnres::SPEC)
            .number("eps", self.eps)
            .with("q", self.x.vector(&format!("{residual}_proj.weight")))
            .with("rms_weight", self.x.vector(&format!("{residual}_norm.weight")))
            .with("residuals", residuals);
        if let Some(norm) = norm {
            call = call.flag("output_norm", true).with("output_weight", self.x.vector(&format!("{norm}.weight")));
        }
        call.run().matrix("o")
    }
}
