//! States at the borders of chunks, as kernels round them: what a chunk reads is an operand, what passes it by is not.

use ndarray::ArrayD;

use super::{Parts, Work};
use crate::rounded;
use crate::spec::{Domain, OpSpec, Port, Precision};

impl Work<'_> {
    /// States, or their cotangents, as a chunk reads them.
    pub(super) fn read(&self, states: &Parts) -> Parts {
        let round = |a: &ArrayD<f64>| if self.rounds { a.mapv(rounded::read) } else { a.clone() };
        states.iter().map(|(&name, a)| (name, round(a))).collect()
    }

    /// What the chunk has not read of the states passes by it, as `decay` lets it.
    pub(super) fn past(&self, states: &Parts, read: &Parts, decay: impl FnOnce(&Parts) -> Parts) -> Option<Parts> {
        if !self.rounds {
            return None;
        }
        Some(decay(&states.iter().map(|(&name, a)| (name, a - &read[name])).collect()))
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
