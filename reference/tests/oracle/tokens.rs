//! Arithmetic on tensors of tokens, `[B, T, ...]`.

use ndarray::{ArrayD, Axis, Slice, concatenate};
use reference::oracle::Answer;

use crate::question::assert_agree;

/// Compares an output or gradient with what arithmetic says it is.
pub(crate) fn assert_is(what: &str, answer: &Answer, name: &str, expected: &ArrayD<f64>) {
    let got = answer.outputs.get(name).or(answer.gradients.get(name)).expect("an output or a gradient");
    assert_agree(&format!("{what}: {name}"), got, expected, 0.0);
}

/// Element by element.
pub(crate) fn exp(x: &ArrayD<f64>) -> ArrayD<f64> {
    x.mapv(f64::exp)
}

/// One token of `[B, T, ...]`.
pub(crate) fn token(x: &ArrayD<f64>, t: usize) -> ArrayD<f64> {
    x.index_axis(Axis(1), t).to_owned()
}

/// `[..., K]` beside a last axis.
pub(crate) fn wide(x: &ArrayD<f64>) -> ArrayD<f64> {
    let axis = Axis(x.ndim());
    x.clone().insert_axis(axis)
}

/// For each token of `[B, T, ...]`, what came before it: the start, then all but the last.
pub(crate) fn before(start: &ArrayD<f64>, x: &ArrayD<f64>) -> ArrayD<f64> {
    let start = start.view().insert_axis(Axis(1));
    let all = concatenate(Axis(1), &[start, x.view()]).expect("one shape but for the tokens");
    all.slice_axis(Axis(1), Slice::from(..-1)).to_owned()
}

/// Running sums over the tokens of `[B, T, ...]`.
pub(crate) fn summed(x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut sums = x.clone();
    sums.accumulate_axis_inplace(Axis(1), |&sum, x| *x += sum);
    sums
}

/// Log decay and weight of logits after a start, and the last logarithm of their sum.
pub(crate) fn additive_gate(logits: &ArrayD<f64>, start: &ArrayD<f64>) -> [ArrayD<f64>; 3] {
    let sums = summed(&before(&exp(start), &exp(logits)));
    let (z, next) = (sums.mapv(f64::ln), (&sums + &exp(logits)).mapv(f64::ln));
    let last = token(&next, next.len_of(Axis(1)) - 1);
    [&z - &next, exp(&(logits - &next)), last]
}

/// Gradients by logits and start from those by log decay, weight and last logarithm.
pub(crate) fn through_additive_gate(gate: &[ArrayD<f64>; 3], d: [&ArrayD<f64>; 3]) -> [ArrayD<f64>; 2] {
    let ([decay, weight, _], [d_decay, d_weight, d_last]) = (gate, d);
    let (mut d_logits, mut d_z) = (weight * d_weight, d_last.clone());
    for t in (0..weight.len_of(Axis(1))).rev() {
        let [decay, weight, d_decay, d_weight] = [decay, weight, d_decay, d_weight].map(|x| token(x, t));
        d_z = d_z - &d_decay - &(&weight * &d_weight);
        let mut here = d_logits.index_axis_mut(Axis(1), t);
        here += &(&d_z * &weight);
        d_z = d_z * exp(&decay) + d_decay;
    }
    [d_logits, d_z]
}
