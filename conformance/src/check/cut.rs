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

#[cfg(test)]
mod tests {
    use reference::tensor::DType;

    use super::*;
    use crate::check::tests::case;

    #[test]
    fn pieces_are_joined_as_what_they_are() {
        let joined = |text: &str, name: &str, along: Along, sizes: [usize; 3]| -> Option<Vec<f64>> {
            let part = |(size, value)| Tensor::filled(DType::F32, &[1, 1, 1, size], value);
            let parts = [0, 1, 2].map(|i| Tensors::from([(name.to_owned(), part((sizes[i], [1.0, 2.0, 4.0][i])))]));
            joined(&case(text).problem, name, &parts.each_ref(), along).map(|t| t.values().collect())
        };
        let (forwards, backwards, weights) = ("simple_gla()", "simple_gla(reverse=true)", "short_convolution()");
        for (text, name, along, expected) in [
            (forwards, "o", Along::Time, &[1.0, 2.0, 4.0][..]),
            (forwards, "d_q", Along::Sequences, &[1.0, 2.0, 4.0]),
            (forwards, "ht", Along::Sequences, &[1.0, 2.0, 4.0]),
            (forwards, "ht", Along::Time, &[4.0]),
            (forwards, "d_h0", Along::Time, &[1.0]),
            (backwards, "ht", Along::Time, &[1.0]),
            (backwards, "d_h0", Along::Time, &[4.0]),
            (weights, "d_weight", Along::Time, &[7.0]),
            (weights, "d_weight", Along::Sequences, &[7.0]),
        ] {
            assert_eq!(joined(text, name, along, [1; 3]).as_deref(), Some(expected), "{name} of {text}, {along:?}");
        }
        assert_eq!(joined(weights, "d_weight", Along::Time, [1, 1, 2]), None, "no sum of two shapes");
        assert_eq!(joined(forwards, "no such", Along::Time, [1; 3]), None);
    }

    #[test]
    fn a_sequence_has_its_tokens_and_its_state() {
        let case = case("hgrn(D=1,seqs=2+3)");
        let truth = Truth::of(&case);
        let piece = sequence(&case, &truth, 1);
        assert_eq!((piece.problem.size(Dim::T), &piece.problem.sequences), (3, &None));
        assert_eq!(piece.inputs["x"], truth.inputs["x"].narrow(1, 2..5));
        assert_eq!(piece.inputs["h0"], truth.inputs["h0"].narrow(0, 1..2));
        assert_eq!(piece.cotangents["d_ht"], truth.cotangents["d_ht"].narrow(0, 1..2));
    }

    #[test]
    fn a_batch_is_packed_as_it_lies() {
        let case = case("hgrn(B=2,T=3,D=1)");
        let truth = Truth::of(&case);
        let Piece { problem, inputs, .. } = packed(&case, &truth);
        assert_eq!((problem.size(Dim::B), problem.size(Dim::T), problem.sequences), (1, 6, Some(vec![3, 3])));
        assert_eq!((inputs["x"].shape(), inputs["x"].bytes()), (&[1, 6, 1][..], truth.inputs["x"].bytes()));
    }
}
