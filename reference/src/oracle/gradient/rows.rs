//! Gradients of ops without states, a few output tokens at a time: a tape of attention grows with the square of the
//! sequence, but what one output looks at does not.

use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice as Span};

use super::{Parts, Work};
use crate::tape;

/// Bytes of one edge of the tape.
const EDGE: usize = 12;

impl Work<'_> {
    /// Tokens whose outputs are differentiated together, so that the tape of each part keeps to the budget; all of them
    /// where a state cuts time already, or an output belongs to all tokens.
    pub(super) fn rows(&self, tokens: usize, inputs: &Parts, names: &[&'static str]) -> Vec<Range<usize>> {
        let spec = self.problem.spec;
        let whole = !spec.states.is_empty() || spec.outputs.iter().any(|p| self.pieces.token_axis(p).is_none());
        // each token with each other one, over all channels
        let guess = inputs.values().map(ArrayD::len).sum::<usize>().saturating_mul(tokens).saturating_mul(EDGE);
        if whole || tokens < 2 || guess <= self.budget {
            return std::iter::once(0..tokens).collect();
        }
        let recorded = |asked: Range<usize>| {
            self.differentiate(tokens, asked, inputs.clone(), names, |total| vec![0.0; total], |_| {});
            tape::bytes()
        };
        let shared = recorded(0..0);
        // the last token looks at most
        let row = recorded(tokens - 1..tokens).saturating_sub(shared).max(1);
        // what is recorded anew for each part is at most half of what is recorded
        let length = (self.budget.saturating_sub(shared).max(shared) / row).clamp(1, tokens);
        (0..tokens).step_by(length).map(|t| t..(t + length).min(tokens)).collect()
    }
}

/// The cotangent of these tokens, zero at the others.
pub(super) fn only(mut seed: ArrayD<f64>, tokens: Axis, rows: &Range<usize>) -> ArrayD<f64> {
    for others in [0..rows.start, rows.end..seed.len_of(tokens)] {
        seed.slice_axis_mut(tokens, Span::from(others)).fill(0.0);
    }
    seed
}

/// The sum of the gradients of two parts.
pub(super) fn sum(mut a: Parts, b: Parts) -> Parts {
    for (name, gradient) in b {
        a.entry(name).and_modify(|total| *total += &gradient).or_insert(gradient);
    }
    a
}
