//! What runs through the blocks of a decoder.
//!
//! Plainly, a sum: each block reads its norm and adds to it. With `attnres`, the sum begins anew every
//! `attnres_block_size` half-blocks, and each half-block reads a mixture, by its own query, of the sums so far (the op
//! `attnres`).

use ndarray::{Array2, Axis, stack};

use super::blueprint::Model;
use crate::call::Call;
use crate::modules::rms_norm::normalise;
use crate::ops;
use crate::problem::Problem;
use crate::real::Real;
use crate::unit::Unit;

/// The residual stream of one sequence, `[T, D]`.
#[derive(Debug)]
pub(super) struct Stream<F> {
    model: &'static Model,
    eps: f64,
    /// Half-blocks of a sum, with attention residuals.
    block: Option<usize>,
    /// Sums that are complete.
    sources: Vec<Array2<F>>,
    /// The sum to which blocks add; none when it has just begun.
    sum: Option<Array2<F>>,
}

impl<F: Real> Stream<F> {
    pub(super) fn new(problem: &Problem, model: &'static Model, embedded: Array2<F>) -> Self {
        let block = problem.flag("attnres").then(|| problem.number("attnres_block_size").unwrap_or(2.0) as usize);
        let eps = problem.number("norm_eps").unwrap_or(1e-6);
        Self { model, eps, block, sources: Vec::new(), sum: Some(embedded) }
    }

    /// What the mixer of a layer reads.
    pub(super) fn enter_mixer(&mut self, x: &Unit<'_, F>, layer: usize) -> Array2<F> {
        let (trunk, norm) = (self.model.names.trunk, self.model.names.mixer_norm);
        self.enter(x, 2 * layer, &format!("{trunk}.layers.{layer}.attn_res"), &format!("{trunk}.layers.{layer}.{norm}"))
    }

    /// What the feed-forward network of a layer reads.
    pub(super) fn enter_mlp(&mut self, x: &Unit<'_, F>, layer: usize) -> Array2<F> {
        let (trunk, norm) = (self.model.names.trunk, self.model.names.mlp_norm);
        self.enter(
            x,
            2 * layer + 1,
            &format!("{trunk}.layers.{layer}.mlp_res"),
            &format!("{trunk}.layers.{layer}.{norm}"),
        )
    }

    fn enter(&mut self, x: &Unit<'_, F>, half: usize, residual: &str, norm: &str) -> Array2<F> {
        let Some(block) = self.block else { return self.normed(x, norm) };
        let hidden = if half == 0 { self.normed(x, norm) } else { self.mixture(x, residual, norm) };
        if half.is_multiple_of(block.max(1)) {
            self.sources.extend(self.sum.take());
        }
        hidden
    }

    /// Adds what a half-block gives.
    pub(super) fn add(&mut self, y: Array2<F>) {
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + y,
            None => y,
        });
    }

    /// What the head reads.
    pub(super) fn leave(&self, x: &Unit<'_, F>) -> Array2<F> {
        let (trunk, norm) = (self.model.names.trunk, self.model.names.norm);
        match self.block {
            None => self.normed(x, &format!("{trunk}.{norm}")),
            Some(_) => self.mixture(x, &format!("{trunk}.res"), &format!("{trunk}.{norm}")),
        }
    }

    fn normed(&self, x: &Unit<'_, F>, norm: &str) -> Array2<F> {
        let sum = self.sum.as_ref().expect("without attention residuals the sum never begins anew");
        normalise(sum, Some(x.tensor(&format!("{norm}.weight"))), self.eps)
    }

    fn mixture(&self, x: &Unit<'_, F>, residual: &str, norm: &str) -> Array2<F> {
        let sources: Vec<_> = self.sources.iter().chain(&self.sum).map(|s| s.view()).collect();
        let residuals = stack(Axis(0), &sources).expect("sums have one shape");
        Call::of(&ops::attnres::SPEC)
            .number("eps", self.eps)
            .flag("output_norm", true)
            .with("q", x.vector(&format!("{residual}_proj.weight")))
            .with("rms_weight", x.vector(&format!("{residual}_norm.weight")))
            .with("output_weight", x.vector(&format!("{norm}.weight")))
            .with("residuals", residuals)
            .run()
            .matrix("o")
    }
}
