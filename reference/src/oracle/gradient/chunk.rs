//! States at the borders of chunks, as kernels round them: what a chunk reads is an operand, what passes it by is not.

use ndarray::ArrayD;

use super::{Parts, Work};
use crate::rounded;
use crate::spec::{Domain, Level, OpSpec, Port, Precision};

impl Work<'_> {
    /// Whether states are rounded at the borders of chunks. Only an op's are: what is built from ops writes its states from
    /// weights and biases even where it is given nothing, so that what is not read cannot be followed by itself.
    fn borders(&self) -> bool {
        self.rounds && self.problem.spec.level == Level::Op
    }

    /// States, or their cotangents, as a chunk reads them.
    pub(super) fn read(&self, states: &Parts) -> Parts {
        let round = |name, a: &ArrayD<f64>| match self.borders() && !self.elementwise(name) {
            true => a.mapv(rounded::read),
            false => a.clone(),
        };
        states.iter().map(|(&name, a)| (name, round(name, a))).collect()
    }

    fn elementwise(&self, initial: &str) -> bool {
        self.problem.spec.states.iter().any(|s| s.initial == initial && s.elementwise)
    }

    /// What the chunk has not read of the states passes by it, as `decay` lets it; elementwise states are read whole.
    pub(super) fn past(&self, states: &Parts, read: &Parts, decay: impl FnOnce(&Parts) -> Parts) -> Option<Parts> {
        if !self.borders() || self.problem.spec.states.iter().all(|s| s.elementwise) {
            return None;
        }
        let rest = |name, a: &ArrayD<f64>| match self.elementwise(name) {
            true => ArrayD::zeros(a.raw_dim()),
            false => a - &read[name],
        };
        Some(decay(&states.iter().map(|(&name, a)| (name, rest(name, a))).collect()))
    }

    /// What passes by, beside the elementwise states that may say how it decays.
    pub(super) fn beside(&self, rest: &Parts, states: &Parts) -> Parts {
        let whole = |(&name, a): (&&'static str, &ArrayD<f64>)| {
            (name, if self.elementwise(name) { states[name].clone() } else { a.clone() })
        };
        rest.iter().map(whole).collect()
    }

    /// Inputs of a piece in which nothing is read and nothing written, so that states only decay.
    pub(super) fn still(&self, mut inputs: Parts) -> Parts {
        let operand = |p: &&Port| {
            p.precision == Precision::Storage && OpSpec::per_token(p) && self.problem.domain(p) != Domain::LogDecay
        };
        for port in self.problem.spec.inputs.iter().filter(operand) {
            inputs.insert(port.name, ArrayD::zeros(inputs[port.name].raw_dim()));
        }
        inputs
    }
}
