//! Where gradients come from: the oracle, the oracle rounded, a candidate.

use reference::oracle;
use reference::problem::Problem;
use reference::tensor::{Arrays, DType, Tensor, Tensors};
use reports::verdict::Verdict;

use crate::candidate::{Candidate, Fill, Mode, Request};
use crate::check::single;
use crate::examine::{answer, truth_of};
use crate::measure::rounding;
use crate::report::sentence;

/// The losses of all tokens and the gradient of their mean by every parameter.
pub(super) struct Slope {
    pub(super) losses: f64,
    pub(super) gradients: Arrays,
}

/// Somebody who differentiates.
pub(super) enum Source<'a> {
    /// The oracle in `f64`.
    Exact,
    /// The oracle as this type would store and round, one of several samples.
    Rounded(DType, u64),
    /// A candidate, asked in this type.
    Asked(&'a mut dyn Candidate, DType),
}

impl Source<'_> {
    /// The slope at these inputs; `cotangents` make a mean of the losses.
    pub(super) fn slope(
        &mut self,
        problem: &Problem,
        inputs: &Arrays,
        cotangents: &Arrays,
        step: u64,
    ) -> Result<Slope, String> {
        let want: Vec<&str> = problem.differentiable().map(|p| p.name).collect();
        let found = match self {
            Self::Exact => oracle::gradients(problem, inputs, cotangents, &want),
            Self::Rounded(dtype, sample) => {
                let (inputs, cotangents) = (rounded(problem, inputs, *dtype), rounded(problem, cotangents, *dtype));
                let rounding = rounding(*dtype, step * SEEDS + *sample);
                oracle::rounded(problem, &inputs, &cotangents, &want, &rounding)
            }
            Self::Asked(candidate, dtype) => {
                let request = request(problem, inputs, cotangents, &want, *dtype);
                let reply = candidate.call(&request);
                let (tensors, _) = answer(&request, reply, 0).map_err(|verdict| sentence(&verdict))?;
                let mut all: Arrays = tensors.iter().map(|(name, t)| (name.clone(), t.to_array())).collect();
                let losses = all.remove("loss").map_or(f64::NAN, |l| l.sum());
                return Ok(Slope { losses, gradients: all });
            }
        };
        let answer = found.map_err(|e| e.to_string())?;
        Ok(Slope { losses: answer.outputs["loss"].sum(), gradients: answer.gradients })
    }
}

/// What is wrong with a candidate's gradients at these inputs, each judged by itself as any answer is: the optimiser
/// divides a constant factor away, so that no curve would show it.
pub(super) fn faults(
    candidate: &mut dyn Candidate,
    problem: &Problem,
    inputs: &Arrays,
    cotangents: &Arrays,
    dtype: DType,
) -> Result<Vec<String>, reference::error::Error> {
    let want: Vec<&str> = problem.differentiable().map(|p| p.name).collect();
    let request = request(problem, inputs, cotangents, &want, dtype);
    let tensors = match answer(&request, candidate.call(&request), 0) {
        Ok((tensors, _)) => tensors,
        Err(verdict) => return Ok(vec![sentence(&verdict)]),
    };
    let standards = truth_of(&request).gradients(&request.cotangents)?;
    let verdicts = standards.iter().filter_map(|(name, s)| Some(single(s, tensors.get(name)?)));
    Ok(verdicts.filter(|v| matches!(v, Verdict::Fail { .. })).map(|v| sentence(&v)).collect())
}

/// Roundings of different steps and samples differ.
const SEEDS: u64 = 16;

/// What a candidate is asked: the loss of each token, and every gradient of their mean.
pub(super) fn request(problem: &Problem, inputs: &Arrays, cotangents: &Arrays, want: &[&str], dtype: DType) -> Request {
    let stored = |arrays: &Arrays| -> Tensors {
        arrays.iter().map(|(name, a)| (name.clone(), Tensor::from_array(a, element(problem, name, dtype)))).collect()
    };
    Request {
        problem: problem.clone(),
        dtype,
        inputs: stored(inputs),
        cotangents: stored(cotangents),
        want: std::iter::once("loss".to_owned()).chain(want.iter().map(|n| format!("d_{n}"))).collect(),
        fill: Fill::Any,
        mode: Mode::Any,
    }
}

fn rounded(problem: &Problem, arrays: &Arrays, dtype: DType) -> Arrays {
    let store = |(name, a): (&String, &ndarray::ArrayD<f64>)| {
        let element = element(problem, name, dtype);
        (name.clone(), a.mapv(|x| element.round(x)))
    };
    arrays.iter().map(store).collect()
}

fn element(problem: &Problem, name: &str, dtype: DType) -> DType {
    let output = || problem.spec.output(name.strip_prefix("d_")?);
    problem.spec.input(name).or_else(output).map_or(dtype, |p| Problem::dtype(p, dtype))
}
