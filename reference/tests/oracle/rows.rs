//! Arithmetic on the rows of tensors, and attention to them.

use ndarray::{ArrayD, Axis};
use reference::oracle::Answer;

use crate::question::Question;
use crate::sample::problem;

/// The factor of every row of `x`.
pub(crate) fn times_rows(x: &ArrayD<f64>, factor: &ArrayD<f64>) -> ArrayD<f64> {
    x * &factor.view().insert_axis(Axis(factor.ndim()))
}

/// The inner product of every row of `x` with that of `y`.
pub(crate) fn rows_dot(x: &ArrayD<f64>, y: &ArrayD<f64>) -> ArrayD<f64> {
    (x * y).sum_axis(Axis(x.ndim() - 1))
}

/// Softmax attention.
pub(crate) fn attention(fields: &str, inputs: [(&str, &ArrayD<f64>); 3], d_o: &ArrayD<f64>, seed: u64) -> Answer {
    let mut attn = Question::new(problem("attn", &format!("{fields},absent=g+sink_bias")), seed);
    for (name, array) in inputs {
        attn.set(name, array.clone());
    }
    attn.cotangents.insert("d_o".to_owned(), d_o.clone());
    attn.answer()
}
