//! One check of one case, put to a candidate.

use std::sync::{Arc, Mutex, PoisonError};

use reference::problem::Problem;
use reference::tensor::{DType, Tensor, Tensors};
use reports::verdict::{Fault, Verdict};

use crate::candidate::remote::shape;
use crate::candidate::{Candidate, Reply, Request};
use crate::case::Case;
use crate::check::{Call, Check, Trial};
use crate::environment;
use crate::truth::{Standards, Truth};

/// What a candidate answered to the calls of a check.
#[derive(Debug, Default)]
pub struct Asked {
    /// The calls that were made.
    pub requests: Vec<Request>,
    /// The answers to all of them, or to those before the first that failed.
    pub answers: Vec<Tensors>,
    /// Kernels or back end that really ran.
    pub ran: String,
    /// Set when there is nothing left to judge.
    pub verdict: Option<Verdict>,
}

/// Makes the calls of `check`, in order, until one is not answered.
pub fn ask(candidate: &mut dyn Candidate, case: &Case, truth: &Truth, check: &Check) -> Asked {
    let mut asked = Asked::default();
    let op = case.problem.spec.name;
    if !candidate.ops().iter().any(|o| o == op) {
        asked.verdict = Some(Verdict::Declined { reason: format!("{op} is not among its ops") });
        return asked;
    }
    if let Err(reason) = (check.needs)(&candidate.abilities()) {
        asked.verdict = Some(Verdict::NotApplicable { reason: reason.to_owned() });
        return asked;
    }
    let calls = (check.plan)(case, truth);
    if let Some(other) =
        calls.iter().map(|c| c.problem.spec.name).find(|name| !candidate.ops().iter().any(|o| o == name))
    {
        asked.verdict = Some(Verdict::NotApplicable { reason: format!("{other} is not among its ops") });
        return asked;
    }
    let large = calls.iter().any(Call::is_large);
    let _alone = large.then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner));
    if large && environment::free_memory().is_none_or(|bytes| bytes < ROOM) {
        let reason = format!("less than {} GiB of memory are free on this machine", ROOM >> 30);
        asked.verdict = Some(Verdict::NotApplicable { reason });
        return asked;
    }
    make(candidate, case, &calls, &mut asked);
    if large {
        asked.verdict = asked.verdict.map(spared);
        // nobody wants them dumped
        asked.requests.clear();
    }
    asked
}

/// Makes the calls one by one.
fn make(candidate: &mut dyn Candidate, case: &Case, calls: &[Call], asked: &mut Asked) {
    for (index, call) in calls.iter().enumerate() {
        let Some(request) = call.request(case.dtype, &asked.answers) else {
            let message = format!("call {index} needs an answer that is not there");
            asked.verdict = Some(Verdict::Fail { fault: Fault::Malformed { message }, call: index });
            return;
        };
        if call.first {
            candidate.restart();
        }
        let reply = candidate.call(&request);
        asked.requests.push(request);
        match answer(&asked.requests[index], reply, index) {
            Ok((tensors, ran)) => {
                asked.answers.push(tensors);
                asked.ran = ran;
            }
            Err(verdict) => {
                asked.verdict = Some(*verdict);
                return;
            }
        }
    }
}

/// Calls of this size are made one at a time.
static LARGE: Mutex<()> = Mutex::new(());

/// Memory that such a call takes, on both sides of the wire.
const ROOM: u64 = 96 << 30;

/// A device that lacks the memory for a large call is not at fault.
fn spared(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Fail { fault: Fault::OutOfMemory { message }, .. } => Verdict::Declined { reason: message },
        other => other,
    }
}

/// The verdict on what was answered.
#[must_use]
pub fn judge(case: &Case, truth: &Truth, check: &Check, asked: &Asked) -> Verdict {
    if let Some(verdict) = &asked.verdict {
        return verdict.clone();
    }
    let calls = (check.plan)(case, truth);
    let trial = Trial { case, truth, calls: &calls, answers: &asked.answers };
    match (check.judge)(&trial) {
        Ok(verdict) => verdict,
        Err(error) => Verdict::Mistrusted { reason: format!("the oracle cannot answer: {error}") },
    }
}

/// The outputs or gradients that are wrong by themselves in the first call of a check that compares with the truth.
#[must_use]
pub fn wrong(truth: &Truth, check: &Check, asked: &Asked) -> Vec<String> {
    let Some((standards, answers)) = standards(truth, check).zip(asked.answers.first()) else { return Vec::new() };
    let fails = |(name, standard): (&String, &crate::measure::Standard)| {
        let verdict = crate::check::single(standard, answers.get(name)?);
        matches!(verdict, Verdict::Fail { .. }).then(|| name.clone())
    };
    standards.iter().filter_map(fails).collect()
}

/// The outputs or gradients by which such a call can be judged.
#[must_use]
pub fn judged(truth: &Truth, check: &Check, asked: &Asked) -> Vec<String> {
    let Some(standards) = standards(truth, check).filter(|_| !asked.answers.is_empty()) else { return Vec::new() };
    standards.iter().filter(|(_, s)| s.doubt.is_none()).map(|(name, _)| name.clone()).collect()
}

/// What the first call of a check that compares with the truth is measured by.
#[must_use]
pub fn standards(truth: &Truth, check: &Check) -> Option<Arc<Standards>> {
    match check.name {
        "forward" => truth.outputs().ok(),
        "backward" => truth.gradients(&truth.cotangents).ok(),
        _ => None,
    }
}

/// The answer of a reply, or the verdict that its failure is.
///
/// # Errors
/// The verdict, when there is no answer or it is not what was asked for.
pub fn answer(request: &Request, reply: Reply, call: usize) -> Result<(Tensors, String), Box<Verdict>> {
    let fault = match reply {
        Reply::Done { tensors, ran } => match fits(request, &tensors) {
            None => return Ok((tensors, ran)),
            Some(message) => Fault::Malformed { message },
        },
        Reply::Declined(reason) => return Err(Box::new(Verdict::Declined { reason })),
        Reply::Failed(message) => Fault::Error { message },
        Reply::Trespassed(message) => Fault::Trespass { message },
        Reply::OutOfMemory(message) => Fault::OutOfMemory { message },
        Reply::Malformed(message) => Fault::Malformed { message },
        Reply::Crashed(message) => Fault::Crash { message },
        Reply::Hung(after) => Fault::Hang { seconds: after.as_secs_f64() },
    };
    Err(Box::new(Verdict::Fail { fault, call }))
}

/// What is wrong with the names, shapes and types of an answer.
fn fits(request: &Request, tensors: &Tensors) -> Option<String> {
    if let Some(name) = tensors.keys().find(|name| !request.want.contains(name)) {
        return Some(format!("unexpected {name}, wanted {}", request.want.join(", ")));
    }
    let wrong = |name: &String| {
        let expected = shape(&request.problem, name)?;
        match tensors.get(name) {
            None => Some(format!("{name} is missing, got {}", names(tensors))),
            Some(t) if t.shape() != expected => Some(format!("{name} is {:?}, expected {expected:?}", t.shape())),
            Some(t) if t.dtype() == DType::I64 => Some(format!("{name} is i64, expected a float type")),
            Some(_) => None,
        }
    };
    request.want.iter().find_map(wrong)
}

fn names(tensors: &Tensors) -> String {
    tensors.keys().cloned().collect::<Vec<_>>().join(", ")
}

/// The question that a dumped call asks, judged: outputs and gradients by the measure, whatever its seeds were.
///
/// # Errors
/// Inputs that do not fit the problem.
pub fn judge_request(request: &Request, answers: &Tensors) -> Result<Verdict, reference::error::Error> {
    let truth = truth_of(request);
    let (outputs, gradients): (Vec<_>, Vec<_>) =
        answers.iter().map(|(n, t)| (n.clone(), t.clone())).partition(|(n, _)| is_output(&request.problem, n));
    let mut standards = Standards::new();
    if !outputs.is_empty() {
        standards.extend(truth.outputs()?.iter().map(|(n, s)| (n.clone(), s.clone())));
    }
    if !gradients.is_empty() {
        standards.extend(truth.gradients(&request.cotangents)?.iter().map(|(n, s)| (n.clone(), s.clone())));
    }
    standards.retain(|name, _| request.want.contains(name));
    let answers: Tensors = outputs.into_iter().chain(gradients).collect();
    Ok(crate::check::accurate(&standards, &answers))
}

/// The truth about a call.
#[must_use]
pub fn truth_of(request: &Request) -> Truth {
    Truth::new(request.problem.clone(), request.dtype, request.inputs.clone(), request.cotangents.clone())
}

fn is_output(problem: &Problem, name: &str) -> bool {
    problem.spec.output(name).is_some()
}

/// The elements of `answer` that are furthest from `standard`: index, truth, answer, σ.
#[must_use]
pub fn furthest(standard: &crate::measure::Standard, answer: &Tensor, count: usize) -> Vec<(Vec<usize>, [f64; 3])> {
    let mut all: Vec<(f64, usize, [f64; 3])> = answer
        .values()
        .zip(&standard.truth)
        .zip(&standard.sigma)
        .enumerate()
        .map(|(i, ((got, &truth), &sigma))| {
            let error = (got - truth).abs();
            let z = if error > 0.0 { error / sigma } else { error };
            (if z.is_nan() { f64::INFINITY } else { z }, i, [truth, got, sigma])
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let shape = standard.truth.shape();
    all.into_iter().take(count).map(|(_, i, row)| (crate::measure::index(shape, i), row)).collect()
}
