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
use crate::real::Real;
use crate::tap;
use crate::unit::Unit;

/// The residual stream of one sequence, `[T, D]`.
pub(super) struct Stream<'a, F> {
    x: &'a Unit<'a, F>,
    model: &'static Model,
    eps: f64,
    /// Half-blocks of a sum, with attention residuals.
    block: Option<usize>,
    /// Sums that are complete.
    sources: Vec<Array2<F>>,
    /// The sum to which blocks add; none when it has just begun.
    sum: Option<Array2<F>>,
}

impl<'a, F: Real> Stream<'a, F> {
    pub(super) fn new(x: &'a Unit<'a, F>, model: &'static Model, embedded: Array2<F>) -> Self {
        let block = x.problem.flag("attnres").then(|| x.problem.number("attnres_block_size").unwrap_or(2.0) as usize);
        let eps = x.problem.number("norm_eps").unwrap_or(1e-6);
        Self { x, model, eps, block, sources: Vec::new(), sum: Some(embedded) }
    }

    /// What the mixer of a layer reads.
    pub(super) fn enter_mixer(&mut self, layer: usize) -> Array2<F> {
        let (trunk, norm) = (self.model.names.trunk, self.model.names.mixer_norm);
        self.enter(2 * layer, &format!("{trunk}.layers.{layer}.attn_res"), &format!("{trunk}.layers.{layer}.{norm}"))
    }

    /// What the feed-forward network of a layer reads.
    pub(super) fn enter_mlp(&mut self, layer: usize) -> Array2<F> {
        let (trunk, norm) = (self.model.names.trunk, self.model.names.mlp_norm);
        self.enter(2 * layer + 1, &format!("{trunk}.layers.{layer}.mlp_res"), &format!("{trunk}.layers.{layer}.{norm}"))
    }

    fn enter(&mut self, half: usize, residual: &str, norm: &str) -> Array2<F> {
        let Some(block) = self.block else { return self.normed(norm) };
        let hidden = if half == 0 { self.normed(norm) } else { self.mixture(residual, norm) };
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

    /// Lets the sum pass the end of a block.
    pub(super) fn pass(&mut self, place: &str) {
        self.sum = self.sum.take().map(|sum| tap::pass(|| place.to_owned(), sum));
    }

    /// What the head reads.
    pub(super) fn leave(&self) -> Array2<F> {
        let (trunk, norm) = (self.model.names.trunk, self.model.names.norm);
        match self.block {
            None => self.normed(&format!("{trunk}.{norm}")),
            Some(_) => self.mixture(&format!("{trunk}.res"), &format!("{trunk}.{norm}")),
        }
    }

    fn normed(&self, norm: &str) -> Array2<F> {
        let sum = self.sum.as_ref().expect("without attention residuals the sum never begins anew");
        normalise(sum, Some(self.x.tensor(&format!("{norm}.weight"))), self.eps)
    }

    fn mixture(&self, residual: &str, norm: &str) -> Array2<F> {
        let sources: Vec<_> = self.sources.iter().chain(&self.sum).map(|s| s.view()).collect();
        let residuals = stack(Axis(0), &sources).expect("sums have one shape");
        Call::of(&ops::attnres::SPEC)
            .number("eps", self.eps)
            .flag("output_norm", true)
            .with("q", self.x.vector(&format!("{residual}_proj.weight")))
            .with("rms_weight", self.x.vector(&format!("{residual}_norm.weight")))
            .with("output_weight", self.x.vector(&format!("{norm}.weight")))
            .with("residuals", residuals)
            .run()
            .matrix("o")
    }
}
