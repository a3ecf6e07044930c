//! Answers: outputs, exact gradients, directional derivatives and rounded runs of a [`Problem`].
//!
//! The op's function is mapped over what its spec declares independent, in parallel; gradients of shared inputs are
//! summed in a fixed order, so answers do not depend on the number of threads.

mod chunk;
mod gradient;
mod index;
mod pieces;
mod slice;

use ndarray::ArrayD;

use crate::dual::Dual;
use crate::error::Error;
use crate::problem::Problem;
use crate::real::Real;
use crate::rounded::{self, Rounding};
use crate::spec::Port;
use crate::tap::Shared;
use crate::tensor::Arrays;
use crate::unit::{Outputs, Parts};
use pieces::Pieces;
pub use pieces::folds;

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
    check(problem, inputs)?;
    Ok(apply(problem, inputs))
}

/// The outputs of the same code in `f32`, widened.
///
/// # Errors
/// As [`forward`].
pub fn forward_f32(problem: &Problem, inputs: &Arrays) -> Result<Arrays, Error> {
    check(problem, inputs)?;
    Ok(map(&apply(problem, &map(inputs, |x| x as f32)), f64::from))
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
    let mut duals = map(inputs, Dual::from_f64);
    for (name, tangent) in tangents {
        let dual = duals.get_mut(name).expect("a tangent belongs to an input that is given");
        dual.zip_mut_with(tangent, |d, &t| d.tangent = t);
    }
    Ok(map(&apply(problem, &duals), |y| y.tangent))
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

/// Outputs and gradients of one run, with `tap` attached to it: sequences in turn, each recorded as a whole.
///
/// # Errors
/// As [`gradients`].
pub fn traced(
    problem: &Problem,
    inputs: &Arrays,
    cotangents: &Arrays,
    rounding: Option<&Rounding>,
    tap: &Shared,
) -> Result<Answer, Error> {
    gradient::traced(problem, inputs, cotangents, rounding, tap)
}

/// The outputs at any scalar, of a question that is known to be valid.
pub(crate) fn apply<F: Real>(problem: &Problem, inputs: &Arrays<F>) -> Arrays<F> {
    let units = slice::units(problem);
    let results: Vec<Outputs<F>> = F::each(&units, |unit| {
        let inputs = unit.inputs(problem, inputs);
        match rounded::active() {
            true => chunk::outputs(problem, unit, inputs),
            false => F::of(&problem.spec.function)(&Pieces::of(problem, unit).unit(unit.tokens(), inputs)),
        }
    });
    let mut outputs = Arrays::new();
    for (i, port) in problem.spec.outputs.iter().enumerate().filter(|(_, p)| problem.allows(p)) {
        let mut whole = ArrayD::from_elem(problem.shape(port), F::zero());
        for (unit, result) in units.iter().zip(&results) {
            unit.part_mut(problem, port, &mut whole).assign(&result[i]);
        }
        outputs.insert(port.name.to_owned(), whole);
    }
    outputs
}

fn map<A: Copy, B>(arrays: &Arrays<A>, f: impl Fn(A) -> B + Copy) -> Arrays<B> {
    arrays.iter().map(|(name, a)| (name.clone(), a.mapv(f))).collect()
}

fn widen<F: Real>(parts: Parts<f64>, lift: fn(f64) -> F) -> Parts<F> {
    parts.into_iter().map(|(name, a)| (name, a.mapv(lift))).collect()
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
