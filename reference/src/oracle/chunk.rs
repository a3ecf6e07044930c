//! An op inside a layer in a rounded run: a chunk of tokens at a time, as kernels treat it.
//!
//! What a chunk reads of a state is an operand, what passes it by is not; backwards the cotangent of the state likewise. As
//! in the run of an op alone, of which [`super::gradient`] keeps the tapes of segments apart instead.

use ndarray::{ArrayD, Zip};

use super::pieces::{Pieces, folds};
use super::slice::Slice;
use crate::problem::Problem;
use crate::real::Real;
use crate::rounded::CHUNK;
use crate::spec::{OpSpec, Precision};
use crate::unit::{Outputs, Parts};

/// The op's outputs on one slice.
pub(super) fn outputs<F: Real>(problem: &Problem, slice: &Slice, inputs: Parts<F>) -> Outputs<F> {
    let pieces = Pieces::of(problem, slice);
    let function = F::of(&problem.spec.function);
    if !pieces.kernel() {
        return function(&pieces.unit(slice.tokens(), inputs));
    }
    let inputs = pieces.folded(inputs);
    if !pieces.borders() {
        return turned(problem, function(&pieces.unit(slice.tokens(), inputs)));
    }
    let still = values(&inputs);
    let mut state = pieces.states(&inputs);
    let mut done = Vec::new();
    for start in (0..slice.tokens().max(1)).step_by(CHUNK) {
        let chunk = start..(start + CHUNK).min(slice.tokens());
        let read: Parts<F> = state.iter().map(|(&name, a)| (name, read(&pieces, name, a))).collect();
        let mut made = pieces.named(function(&pieces.unit(chunk.len(), pieces.cut(&inputs, &chunk, &read))));
        let before = values(&state);
        let rest = pieces.rest(&before, &values(&read));
        let past = pieces.decayed(&still, &chunk, &pieces.beside(&rest, &before));
        let adjoint = F::RECORDS.then(|| {
            let lifted = super::widen(pieces.still(pieces.cut(&still, &chunk, &before)), F::from_f64);
            let inputs = lifted.into_iter().map(|(name, a)| (name, state.get(name).cloned().unwrap_or(a))).collect();
            pieces.named(function(&pieces.unit(chunk.len(), inputs)))
        });
        for s in problem.spec.states.iter().filter(|s| !s.elementwise) {
            let made = made.get_mut(s.last).expect("a state is an output");
            Zip::from(&mut *made).and(&past[s.last]).for_each(|h, &past| *h = *h + F::from_f64(past));
            if let Some(adjoint) = &adjoint {
                Zip::from(made).and(&adjoint[s.last]).for_each(|h, &past| *h = h.split(past));
            }
        }
        state = problem.spec.states.iter().map(|s| (s.initial, made[s.last].clone())).collect();
        done.push(made);
    }
    let mut whole = pieces.join(&done);
    let outputs = problem.spec.outputs.iter().map(|p| whole.remove(p.name).expect("every output was joined"));
    turned(problem, outputs.collect())
}

/// The outputs as memory holds them, their cotangents being operands into which something was folded.
fn turned<F: Real>(problem: &Problem, mut outputs: Outputs<F>) -> Outputs<F> {
    for (port, output) in problem.spec.outputs.iter().zip(&mut outputs) {
        if folds(port) {
            output.mapv_inplace(|o| o.split(F::zero()));
        }
        if port.precision == Precision::Storage && OpSpec::per_token(port) {
            output.mapv_inplace(F::stored);
        }
    }
    outputs
}

fn read<F: Real>(pieces: &Pieces<'_>, name: &str, state: &ArrayD<F>) -> ArrayD<F> {
    if pieces.elementwise(name) { state.clone() } else { state.mapv(F::read) }
}

fn values<F: Real>(parts: &Parts<F>) -> Parts<f64> {
    parts.iter().map(|(&name, a)| (name, a.mapv(F::value))).collect()
}
