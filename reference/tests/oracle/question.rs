//! A whole question to the oracle, and the comparison of two answers.

use ndarray::ArrayD;
use reference::oracle::{self, Answer};
use reference::problem::Problem;
use reference::tensor::Arrays;

use crate::agree::{IDENTITY, largest};
use crate::sample::Random;

/// A problem with its inputs and a cotangent of every output.
pub(crate) struct Question {
    pub(crate) problem: Problem,
    pub(crate) inputs: Arrays,
    pub(crate) cotangents: Arrays,
}

impl Question {
    /// Random numbers for a problem.
    pub(crate) fn new(problem: Problem, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (inputs, cotangents) = (random.inputs(&problem), random.cotangents(&problem));
        Self { problem, inputs, cotangents }
    }

    /// Gives another input.
    pub(crate) fn set(&mut self, input: &str, array: ArrayD<f64>) {
        self.inputs.insert(input.to_owned(), array);
    }

    /// Outputs and every gradient.
    pub(crate) fn answer(&self) -> Answer {
        let want: Vec<&str> = self.problem.differentiable().map(|p| p.name).collect();
        oracle::gradients(&self.problem, &self.inputs, &self.cotangents, &want).expect("a valid question")
    }
}

/// Panics unless `got` and `expected` differ by at most [`IDENTITY`] of the largest expected magnitude, or of `beside`
/// when they are what remains of numbers as large as that.
pub(crate) fn assert_agree(what: &str, got: &ArrayD<f64>, expected: &ArrayD<f64>, beside: f64) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let (error, scale) = (largest(&(got - expected)), beside + largest(expected));
    assert!(error <= IDENTITY * scale, "{what}: off by {error:e} where the largest is {scale:e}");
}

/// Pairs of names for [`assert_same`] where both answers have the same ones.
pub(crate) fn each<const N: usize>(names: [&'static str; N]) -> [(&'static str, &'static str); N] {
    names.map(|n| (n, n))
}

/// Compares outputs and gradients by pairs of names, `d_` for a gradient.
pub(crate) fn assert_same(what: &dyn std::fmt::Display, a: &Answer, b: &Answer, names: &[(&str, &str)]) {
    let find = |answer: &Answer, name: &str| answer.outputs.get(name).or(answer.gradients.get(name)).cloned();
    for (left, right) in names {
        let (x, y) = (find(a, left).expect("a name of the first"), find(b, right).expect("a name of the second"));
        assert_agree(&format!("{what}: {left}"), &x.to_shape(y.raw_dim()).expect("one size").to_owned(), &y, 0.0);
    }
}

/// Compares everything.
pub(crate) fn assert_equal(what: &dyn std::fmt::Display, a: &Answer, b: &Answer) {
    let names: Vec<(&str, &str)> =
        a.outputs.keys().chain(a.gradients.keys()).map(|n| (n.as_str(), n.as_str())).collect();
    assert_eq!(names.len(), b.outputs.len() + b.gradients.len(), "{what}");
    assert_same(what, a, b, &names);
}
