//! Problems cut along time and along sequences, and answers put together again.

use std::ops::Range;

use ndarray::ArrayD;
use reference::problem::Problem;
use reference::spec::{Dim, OpSpec, Port};
use reference::tensor::{Tensor, Tensors};

use crate::case::Case;
use crate::truth::{Truth, port};

/// A part of a case: some tokens of some sequence.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) problem: Problem,
    pub(super) inputs: Tensors,
    pub(super) cotangents: Tensors,
}

/// Tokens `range` of every row, in the order in which they lie.
pub(super) fn tokens(case: &Case, truth: &Truth, range: &Range<usize>) -> Piece {
    let mut problem = case.problem.clone();
    problem.sizes.insert(Dim::T, range.len());
    part(&problem, case, truth, |port, tensor| match axis(port, Dim::T) {
        Some(axis) => tensor.narrow(axis, range.clone()),
        None => tensor.clone(),
    })
}

/// The `n`-th packed sequence, as a batch of one row.
pub(super) fn sequence(case: &Case, truth: &Truth, n: usize) -> Piece {
    let offsets = case.problem.offsets();
    let range = offsets[n]..offsets[n + 1];
    let mut problem = case.problem.clone();
    problem.sequences = None;
    problem.sizes.insert(Dim::T, range.len());
    part(&problem, case, truth, |port, tensor| match (axis(port, Dim::T), axis(port, Dim::N)) {
        (Some(axis), _) => tensor.narrow(axis, range.clone()),
        (None, Some(axis)) => tensor.narrow(axis, n..n + 1),
        (None, None) => tensor.clone(),
    })
}

/// The rows of a batch as packed sequences, without moving a byte.
pub(super) fn packed(case: &Case, truth: &Truth) -> Piece {
    let (rows, tokens) = (case.problem.size(Dim::B), case.problem.size(Dim::T));
    let mut problem = case.problem.clone();
    problem.sequences = Some(vec![tokens; rows]);
    problem.sizes.insert(Dim::B, 1);
    problem.sizes.insert(Dim::T, rows * tokens);
    let fit = problem.clone();
    part(&problem, case, truth, |port, tensor| reshaped(tensor, &fit.shape(port)))
}

/// The same bytes in another shape.
pub(super) fn reshaped(tensor: &Tensor, shape: &[usize]) -> Tensor {
    Tensor::from_bytes(tensor.dtype(), shape, tensor.bytes().to_vec()).unwrap_or_else(|_| tensor.clone())
}

fn part(problem: &Problem, case: &Case, truth: &Truth, cut: impl Fn(&Port, &Tensor) -> Tensor) -> Piece {
    let cut_input = |(name, tensor): (&String, &Tensor)| {
        case.problem.spec.input(name).map(|port| (name.clone(), cut(port, tensor)))
    };
    let cut_cotangent = |(name, tensor): (&String, &Tensor)| {
        let output = name.strip_prefix("d_").and_then(|o| case.problem.spec.output(o));
        output.map(|port| (name.clone(), cut(port, tensor)))
    };
    Piece {
        problem: problem.clone(),
        inputs: truth.inputs.iter().filter_map(cut_input).collect(),
        cotangents: truth.cotangents.iter().filter_map(cut_cotangent).collect(),
    }
}

/// The axis of a port that has this dimension.
pub(super) fn axis(port: &Port, dim: Dim) -> Option<usize> {
    port.dims.iter().position(|&d| d == dim)
}

/// Ends of a time-ordered chain of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Along {
    /// Consecutive tokens: initial states come from the first piece in time, final ones from the last.
    Time,
    /// Consecutive sequences.
    Sequences,
}

/// The whole of output or gradient `name` from the answers of pieces that lie one after another; `None` when they do
/// not fit together. Gradients of inputs that all pieces share add up.
pub(super) fn joined(problem: &Problem, name: &str, parts: &[&Tensors], along: Along) -> Option<Tensor> {
    let port = port(problem, name)?;
    let tensors: Vec<&Tensor> = parts.iter().map(|p| p.get(name)).collect::<Option<_>>()?;
    if OpSpec::per_token(port) {
        return Tensor::concat(axis(port, Dim::T)?, &tensors);
    }
    if let (Along::Sequences, Some(axis)) = (along, axis(port, Dim::N)) {
        return Tensor::concat(axis, &tensors);
    }
    let states: Vec<_> = problem.states().collect();
    let (first, last) = if problem.reversed() { (tensors.len() - 1, 0) } else { (0, tensors.len() - 1) };
    if states.iter().any(|s| s.last == name) {
        return tensors.get(last).map(|&t| t.clone());
    }
    if states.iter().any(|s| name.strip_prefix("d_") == Some(s.initial)) {
        return tensors.get(first).map(|&t| t.clone());
    }
    let start = ArrayD::zeros(tensors.first()?.shape());
    let sum = tensors.iter().try_fold(start, |sum, t| (sum.shape() == t.shape()).then(|| sum + t.to_array()))?;
    Some(Tensor::from_array(&sum, tensors.first()?.dtype()))
}
