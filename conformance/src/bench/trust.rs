//! Which candidates have been right at which small case, and how nearly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use reference::tensor::Tensors;
use reports::verdict::{Fault, Measure};

use super::drawn::wanted;
use super::standard;
use crate::candidate::{BenchRequest, Candidate, Fill, Mode, Reply, Request};
use crate::case::Case;
use crate::truth::{Standards, Truth};

/// A right answer.
#[derive(Debug, Clone)]
pub(super) struct Right {
    /// The small case.
    pub(super) at: String,
    /// Root mean squares of the errors, in units of the floor, by output and gradient.
    pub(super) errors: Vec<Measure>,
    /// Nanoseconds until the answer came, the first of its kind: what had to be compiled is in there.
    pub(super) first_call_ns: f64,
}

/// What is known so far, by candidate and small case.
#[derive(Default)]
pub(super) struct Trust {
    verdicts: Vec<(usize, String, Result<Right, Reply>)>,
    truths: Vec<(String, Arc<Truth>)>,
}

impl Trust {
    /// Asks the candidate with this number the small case that stands for `case`, unless it was asked before.
    pub(super) fn check(
        &mut self,
        number: usize,
        candidate: &mut dyn Candidate,
        case: &Case,
        backward: bool,
    ) -> Result<Right, Reply> {
        let op = case.problem.spec.name;
        if !candidate.ops().iter().any(|known| known == op) {
            return Err(Reply::Declined(format!("{op} is not one of {}", candidate.ops().join(", "))));
        }
        let small = standard::small(case);
        let key = format!("{small} {backward}");
        if let Some((.., known)) = self.verdicts.iter().find(|(n, k, _)| *n == number && *k == key) {
            return known.clone();
        }
        let verdict = right(candidate, &small, &self.truth(&small), backward);
        self.verdicts.push((number, key, verdict.clone()));
        verdict
    }

    /// Finds out all that these cases and passes will be judged by, on all cores, before anything is timed.
    pub(super) fn prepare(&mut self, asked: &[(&Case, bool)]) {
        let mut smalls: BTreeMap<String, (Case, bool)> = BTreeMap::new();
        for (case, backward) in asked {
            let small = standard::small(case);
            smalls.entry(small.to_string()).or_insert((small, false)).1 |= backward;
        }
        let truths = smalls.into_par_iter().map(|(key, (case, backward))| {
            let truth = Truth::of(&case);
            // what cannot be found out is said where it is needed
            _ = truth.outputs();
            if backward {
                _ = truth.gradients(&wanted(truth.cotangents.clone(), &standard::want(&case.problem, true)));
            }
            (key, Arc::new(truth))
        });
        self.truths.extend(truths.collect::<Vec<_>>());
    }

    fn truth(&mut self, case: &Case) -> Arc<Truth> {
        let key = case.to_string();
        if let Some((_, truth)) = self.truths.iter().find(|(k, _)| *k == key) {
            return Arc::clone(truth);
        }
        let truth = Arc::new(Truth::of(case));
        self.truths.push((key, Arc::clone(&truth)));
        truth
    }
}

/// Whether the candidate answers this case rightly, by the judge's own measure.
fn right(candidate: &mut dyn Candidate, case: &Case, truth: &Truth, backward: bool) -> Result<Right, Reply> {
    let want = standard::want(&case.problem, backward);
    let cotangents = if backward { wanted(truth.cotangents.clone(), &want) } else { Tensors::new() };
    let request = Request {
        problem: case.problem.clone(),
        dtype: case.dtype,
        inputs: truth.inputs.clone(),
        cotangents,
        want,
        fill: Fill::Any,
        mode: Mode::Any,
    };
    let asked = Instant::now();
    let answer = candidate.call(&request);
    let first_call_ns = asked.elapsed().as_nanos() as f64;
    let Reply::Done { tensors, .. } = answer else { return Err(answer) };
    let unanswered = |e: reference::error::Error| Reply::Failed(format!("the oracle cannot answer {case}: {e}"));
    let mut standards: Standards = (*truth.outputs().map_err(unanswered)?).clone();
    if backward {
        standards.extend((*truth.gradients(&request.cotangents).map_err(unanswered)?).clone());
    }
    let errors = judge(case, &request.want, &standards, &tensors)?;
    let right = Right { at: case.to_string(), errors, first_call_ns };
    if candidate.identity().kernels.is_empty() {
        return Ok(right);
    }
    // our own kernels draw these very inputs when they are timed, so what was timed can be judged too
    let again = BenchRequest {
        problem: request.problem,
        dtype: request.dtype,
        want: request.want,
        iterations: 1,
        profile: case.profile.name().to_owned(),
        seed: case.seed,
    };
    let timing = candidate.bench(&again)?;
    judge(case, &again.want, &standards, &timing.sample)?;
    Ok(right)
}

fn judge(case: &Case, want: &[String], standards: &Standards, tensors: &Tensors) -> Result<Vec<Measure>, Reply> {
    let mut errors = Vec::new();
    for name in want {
        let wrong = |what: String| Reply::Failed(format!("wrong at {case}: {what}"));
        let standard = standards.get(name).ok_or_else(|| wrong(format!("nothing is known of {name}")))?;
        if let Some(doubt) = &standard.doubt {
            return Err(wrong(format!("it could not have been wrong, because {doubt}")));
        }
        let got = tensors.get(name).ok_or_else(|| wrong(format!("{name} is missing")))?;
        let measures = standard.judge(got).map_err(|fault| wrong(sentence(&fault)))?;
        errors.extend(measures.into_iter().filter(|m| m.statistic == "rms"));
    }
    Ok(errors)
}

fn sentence(fault: &Fault) -> String {
    match fault {
        Fault::Inaccurate { worst, .. } => {
            let (port, statistic, error, bound) = (&worst.port, &worst.statistic, worst.error, worst.bound);
            format!("{statistic} of {port} is {error:.3e} rounding errors at {:?}, allowed are {bound:.3e}", worst.at)
        }
        Fault::NonFinite { port, at, count } => {
            format!("{count} elements of {port} are not finite, the first at {at:?}")
        }
        other => format!("{other:?}"),
    }
}
