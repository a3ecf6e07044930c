//! Answers: outputs, exact gradients, directional derivatives and rounded runs of a [`Problem`].
//!
//! The op's function is mapped over what its spec declares independent, in parallel; gradients of shared inputs are
//! summed in a fixed order, so answers do not depend on the number of threads.

mod gradient;
mod index;
mod slice;

use std::collections::BTreeMap;

use ndarray::ArrayD;
use rayon::prelude::*;

use crate::dual::Dual;
use crate::error::Error;
use crate::problem::Problem;
use crate::real::Real;
use crate::rounded::Rounding;
use crate::spec::Port;
use crate::tensor::Arrays;
use crate::unit::{Outputs, Unit};
use slice::Slice;

/// Outputs by name, gradients by `d_<input>`.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Every output of the op.
    pub outputs: Arrays,
    /// The gradients that were asked for.
    pub gradients: Arrays,
}

/// The outputs, in `f64`.
///
/// # Errors
/// A problem or inputs that do not fit the spec.
pub fn forward(problem: &Problem, inputs: &Arrays) -> Result<Arrays, Error> {
    run(problem, inputs, |x| x, problem.spec.function.f64, |y| y)
}

/// The outputs of the same code in `f32`, widened.
///
/// # Errors
/// As [`forward`].
pub fn forward_f32(problem: &Problem, inputs: &Arrays) -> Result<Arrays, Error> {
    run(problem, inputs, |x| x as f32, problem.spec.function.f32, f64::from)
}

/// The derivative of every output along `tangents` (by input name; missing means zero).
///
/// # Errors
/// As [`forward`]; an unknown or misshapen tangent.
pub fn directional(problem: &Problem, inputs: &Arrays, tangents: &Arrays) -> Result<Arrays, Error> {
    check(problem, inputs)?;
    for (name, tangent) in tangents {
        problem.expect(given(problem, name)?, tangent.shape())?;
    }
    let units = slice::units(problem);
    let results: Vec<Outputs<Dual>> = units
        .par_iter()
        .map(|unit| {
            let mut parts = BTreeMap::new();
            for (name, value) in unit.inputs(problem, inputs) {
                let along = match tangents.get(name) {
                    Some(t) => unit.input(problem, name, t),
                    None => ArrayD::zeros(value.raw_dim()),
                };
                let mut dual = value.mapv(Dual::from_f64);
                dual.zip_mut_with(&along, |d, &t| d.tangent = t);
                parts.insert(name, dual);
            }
            (problem.spec.function.dual)(&unit.whole(problem, parts))
        })
        .collect();
    Ok(collect(problem, &units, &results, |y| y.tangent))
}

/// Outputs, and the gradients of `Σ outputs·cotangents` by the inputs named in `want`.
///
/// Cotangents are named `d_<output>`; a missing one is zero. Memory does not grow with the sequence: see
/// [`crate::spec::State`].
///
/// # Errors
/// As [`forward`]; an unknown or misshapen cotangent; a wanted input that is absent or has no gradient.
pub fn gradients(problem: &Problem, inputs: &Arrays, cotangents: &Arrays, want: &[&str]) -> Result<Answer, Error> {
    gradient::answer(problem, inputs, cotangents, want, None)
}

/// The same with every operation rounded as `rounding` says: one sample of what a declared precision may cost.
///
/// # Errors
/// As [`gradients`].
pub fn rounded(
    problem: &Problem,
    inputs: &Arrays,
    cotangents: &Arrays,
    want: &[&str],
    rounding: &Rounding,
) -> Result<Answer, Error> {
    gradient::answer(problem, inputs, cotangents, want, Some(rounding))
}

fn run<F: Real>(
    problem: &Problem,
    inputs: &Arrays,
    lift: fn(f64) -> F,
    function: fn(&Unit<'_, F>) -> Outputs<F>,
    lower: fn(F) -> f64,
) -> Result<Arrays, Error> {
    check(problem, inputs)?;
    let units = slice::units(problem);
    let results: Vec<Outputs<F>> = units
        .par_iter()
        .map(|unit| {
            let inputs = widen(unit.inputs(problem, inputs), lift);
            function(&unit.whole(problem, inputs))
        })
        .collect();
    Ok(collect(problem, &units, &results, lower))
}

fn widen<F: Real>(parts: BTreeMap<&'static str, ArrayD<f64>>, lift: fn(f64) -> F) -> BTreeMap<&'static str, ArrayD<F>> {
    parts.into_iter().map(|(name, a)| (name, a.mapv(lift))).collect()
}

/// Puts the slices' outputs in their places.
fn collect<F: Real>(problem: &Problem, units: &[Slice], results: &[Outputs<F>], lower: fn(F) -> f64) -> Arrays {
    let mut outputs = Arrays::new();
    for (i, port) in problem.spec.outputs.iter().enumerate() {
        let mut whole = ArrayD::zeros(problem.shape(port));
        for (unit, result) in units.iter().zip(results) {
            unit.part_mut(problem, port, &mut whole).assign(&result[i].mapv(lower));
        }
        outputs.insert(port.name.to_owned(), whole);
    }
    outputs
}

/// Checks the problem and that the inputs are exactly the ones it says are given.
fn check(problem: &Problem, inputs: &Arrays) -> Result<(), Error> {
    problem.validate()?;
    for name in inputs.keys() {
        given(problem, name)?;
    }
    for port in problem.inputs() {
        let missing = || Error::Missing { op: problem.spec.name, port: port.name.into() };
        let array = inputs.get(port.name).ok_or_else(missing)?;
        problem.expect(port, array.shape())?;
        index::check(problem, port, array)?;
    }
    Ok(())
}

/// The input of that name, which the problem must say is given.
fn given(problem: &Problem, name: &str) -> Result<&'static Port, Error> {
    problem.inputs().find(|p| p.name == name).ok_or_else(|| {
        let expected = problem.inputs().map(|p| p.name).collect::<Vec<_>>().join(", ");
        Error::Unknown { op: problem.spec.name.into(), kind: "input", name: name.to_owned(), expected }
    })
}
