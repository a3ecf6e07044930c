//! A slice cut along time: the inputs of some of its tokens, what states do there, and the whole from its pieces.

use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice as Span, concatenate};

use super::slice::{self, Slice};
use crate::problem::Problem;
use crate::real::Real;
use crate::rounded;
use crate::spec::{Dim, Domain, Level, OpSpec, Port, Precision};
use crate::unit::{Parts, Unit};

/// How a slice is cut along time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces<'a> {
    problem: &'a Problem,
    fixed: &'a [(Dim, usize)],
}

impl<'a> Pieces<'a> {
    pub(super) fn of(problem: &'a Problem, slice: &'a Slice) -> Self {
        Self { problem, fixed: slice.fixed() }
    }

    /// What an op's function sees of a piece, all of its outputs being asked for.
    pub(super) fn unit<F>(&self, tokens: usize, inputs: Parts<F>) -> Unit<'a, F> {
        Unit { problem: self.problem, tokens, asked: 0..tokens, fixed: self.fixed, inputs }
    }

    /// Outputs by name.
    pub(super) fn named<F>(&self, outputs: Vec<ArrayD<F>>) -> Parts<F> {
        self.problem.spec.outputs.iter().map(|p| p.name).zip(outputs).collect()
    }

    /// Whether this is what kernels compute: an op or a module. What is built from them is made of their runs.
    pub(super) fn kernel(&self) -> bool {
        matches!(self.problem.spec.level, Level::Op | Level::Module)
    }

    /// Inputs as kernels use them in a rounded run: operands after something was folded into them, and log decays as
    /// differences of sums.
    pub(super) fn folded<F: Real>(&self, mut inputs: Parts<F>) -> Parts<F> {
        for port in self.problem.spec.inputs {
            let array = inputs.get_mut(port.name).expect("every input has a part");
            if self.problem.domain(port) == Domain::LogDecay {
                match self.token_axis(port) {
                    Some(axis) => {
                        let mut time_first = array.view_mut();
                        time_first.swap_axes(0, axis);
                        rounded::summed(&mut time_first);
                    }
                    None => array.mapv_inplace(|g| g + F::from_f64(rounded::slip(1.0 + g.value().abs()))),
                }
            } else if folds(port) {
                array.mapv_inplace(F::read);
            }
        }
        inputs
    }

    /// What the sequence starts from.
    pub(super) fn states<F: Clone>(&self, inputs: &Parts<F>) -> Parts<F> {
        self.problem.spec.states.iter().map(|s| (s.initial, inputs[s.initial].clone())).collect()
    }

    /// The inputs of one piece that starts from `state`.
    pub(super) fn cut<F: Clone>(&self, inputs: &Parts<F>, piece: &Range<usize>, state: &Parts<F>) -> Parts<F> {
        let cut = |(&name, whole): (&&'static str, &ArrayD<F>)| {
            let part = match (state.get(name), self.token_axis(self.input(name))) {
                (Some(state), _) => state.clone(),
                (None, Some(axis)) => whole.slice_axis(Axis(axis), span(piece)).to_owned(),
                (None, None) => whole.clone(),
            };
            (name, part)
        };
        inputs.iter().map(cut).collect()
    }

    /// The outputs of the whole; what has no tokens is that of the last piece.
    pub(super) fn join<F: Clone>(&self, pieces: &[Parts<F>]) -> Parts<F> {
        let join = |port: &Port| {
            let Some(axis) = self.token_axis(port) else {
                return pieces.last().map(|p| p[port.name].clone()).expect("at least one piece");
            };
            let views: Vec<_> = pieces.iter().map(|p| p[port.name].view()).collect();
            concatenate(Axis(axis), &views).expect("pieces differ in their tokens alone")
        };
        self.problem.spec.outputs.iter().map(|p| (p.name, join(p))).collect()
    }

    /// Inputs of a piece in which nothing is read and nothing written, so that states only decay.
    pub(super) fn still(&self, mut inputs: Parts<f64>) -> Parts<f64> {
        let operand = |p: &&Port| {
            p.precision == Precision::Storage && OpSpec::per_token(p) && self.problem.domain(p) != Domain::LogDecay
        };
        for port in self.problem.spec.inputs.iter().filter(operand) {
            inputs.insert(port.name, ArrayD::zeros(inputs[port.name].raw_dim()));
        }
        inputs
    }

    /// Whether kernels read states as operands at the borders of chunks. Only an op's are: what is built from ops writes
    /// its states from weights and biases even where it is given nothing, so that what is not read cannot be followed by
    /// itself; the ops that it asks have borders of their own.
    pub(super) fn borders(&self) -> bool {
        self.problem.spec.level == Level::Op && self.problem.spec.states.iter().any(|s| !s.elementwise)
    }

    /// Whether a state is only read elementwise.
    pub(super) fn elementwise(&self, initial: &str) -> bool {
        self.problem.spec.states.iter().any(|s| s.initial == initial && s.elementwise)
    }

    /// What a chunk has not read of the states. Elementwise ones are read whole.
    pub(super) fn rest(&self, states: &Parts<f64>, read: &Parts<f64>) -> Parts<f64> {
        let rest = |name, a: &ArrayD<f64>| match self.elementwise(name) {
            true => ArrayD::zeros(a.raw_dim()),
            false => a - &read[name],
        };
        states.iter().map(|(&name, a)| (name, rest(name, a))).collect()
    }

    /// The same beside the elementwise states, which may say how it decays.
    pub(super) fn beside(&self, rest: &Parts<f64>, states: &Parts<f64>) -> Parts<f64> {
        let whole = |(&name, a): (&&'static str, &ArrayD<f64>)| {
            (name, if self.elementwise(name) { states[name].clone() } else { a.clone() })
        };
        rest.iter().map(whole).collect()
    }

    /// States after a piece in which those before it, and nothing else, decay.
    pub(super) fn decayed(&self, inputs: &Parts<f64>, piece: &Range<usize>, before: &Parts<f64>) -> Parts<f64> {
        let inputs = self.still(self.cut(inputs, piece, before));
        self.named((self.problem.spec.function.f64)(&self.unit(piece.len(), inputs)))
    }

    /// Elements of an output of one piece.
    pub(super) fn extent(&self, port: &Port, piece: &Range<usize>) -> usize {
        let size = |&dim: &Dim| match dim {
            Dim::T => piece.len(),
            _ => slice::extent(self.problem, dim),
        };
        self.kept(port).iter().map(size).product()
    }

    pub(super) fn input(&self, name: &str) -> &'static Port {
        self.problem.spec.input(name).expect("parts are named by the spec's inputs")
    }

    /// The dimensions of a port that a slice keeps.
    fn kept(&self, port: &Port) -> Vec<Dim> {
        port.dims.iter().copied().filter(|&d| !self.problem.spec.maps(d)).collect()
    }

    /// Which axis of a port's part is time.
    pub(super) fn token_axis(&self, port: &Port) -> Option<usize> {
        self.kept(port).iter().position(|&d| d == Dim::T)
    }
}

/// Whether kernels fold something into a tensor before it is an operand of a matrix product.
#[must_use]
pub fn folds(port: &Port) -> bool {
    OpSpec::per_token(port) && port.precision == Precision::Storage && matches!(port.dims.last(), Some(Dim::K | Dim::V))
}

/// Tokens as a slice of an axis.
pub(super) fn span(piece: &Range<usize>) -> Span {
    Span::from(piece.start as isize..piece.end as isize)
}
