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
use crate::problem::Problem;
use crate::real::Real;
use crate::tap;
use crate::unit::Unit;

/// The residual stream of one sequence, `[T, D]`.
#[derive(Debug)]
pub(super) struct Stream<F> {
    eps: f64,
    /// Half-blocks of a sum, with attention residuals.
    block: Option<usize>,
    /// Sums that are complete.
    sources: Vec<Array2<F>>,
    /// The sum to which blocks add; none when it has just begun.
    sum: Option<Array2<F>>,
}

impl<F: Real> Stream<F> {
    pub(super) fn new(problem: &Problem, embedded: Array2<F>) -> Self {
        let block = problem.flag("attnres").then(|| problem.number("attnres_block_size").unwrap_or(2.0) as usize);
        let eps = problem.number("norm_eps").unwrap_or(1e-6);
        Self { eps, block, sources: Vec::new(), sum: Some(embedded) }
    }

    /// What a half-block reads: normed by `<norm>.weight`, and mixed by the query `<residual>_proj.weight`.
    pub(super) fn enter(&mut self, x: &Unit<'_, F>, half: usize, residual: &str, norm: &str) -> Array2<F> {
        let Some(block) = self.block else { return self.normed(x, norm) };
        let hidden = if half == 0 { self.normed(x, norm) } else { self.mixture(x, residual, Some(norm)) };
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

    /// Lets the sum pass the end of a block.
    pub(super) fn pass(&mut self, place: &str) {
        self.sum = self.sum.take().map(|sum| tap::pass(|| place.to_owned(), sum));
    }

    /// What the head reads.
    pub(super) fn leave(&self, x: &Unit<'_, F>, residual: &str, norm: &str) -> Array2<F> {
        if self.block.is_some() { self.mixture(x, residual, Some(norm)) } else { self.normed(x, norm) }
    }

    /// The stream as it is, to be read by the way.
    pub(super) fn read(&self, x: &Unit<'_, F>, residual: &str) -> Array2<F> {
        if self.block.is_some() { self.mixture(x, residual, None) } else { self.sum().clone() }
    }

    fn sum(&self) -> &Array2<F> {
        self.sum.as_ref().expect("without attention residuals the sum never begins anew")
    }

    fn normed(&self, x: &Unit<'_, F>, norm: &str) -> Array2<F> {
        normalise(self.sum(), Some(x.tensor(&format!("{norm}.weight"))), self.eps)
    }

    fn mixture(&self, x: &Unit<'_, F>, residual: &str, norm: Option<&str>) -> Array2<F> {
        let sources: Vec<_> = self.sources.iter().chain(&self.sum).map(|s| s.view()).collect();
        let residuals = stack(Axis(0), &sources).expect("sums have one shape");
        let mut call = Call::of(&ops::attnres::SPEC)
            .number("eps", self.eps)
            .with("q", x.vector(&format!("{residual}_proj.weight")))
            .with("rms_weight", x.vector(&format!("{residual}_norm.weight")))
            .with("residuals", residuals);
        if let Some(norm) = norm {
            call = call.flag("output_norm", true).with("output_weight", x.vector(&format!("{norm}.weight")));
        }
        call.run().matrix("o")
    }
}
