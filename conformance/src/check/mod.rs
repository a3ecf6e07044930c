//! What is checked: one file per check, one row each in [`CHECKS`].
//!
//! A check is two pure functions: [`Check::plan`] says which calls to make, [`Check::judge`] what their answers mean.
//! A call's input is a value or an earlier call's output, so resuming from a state and decoding are data. A check never
//! holds a candidate.

mod absent;
mod append;
mod backward;
mod causality;
mod cold;
mod columns;
mod containment;
mod cut;
mod decode;
mod evaluation;
mod forward;
mod gain;
mod gauge;
mod graph;
mod grouped;
mod isolation;
mod lattice;
mod local;
mod permute;
mod poison;
mod prefix;
mod recompute;
mod reduction;
mod repeat;
mod resume;
mod varlen;
mod verdicts;
pub(crate) mod wide;

use std::collections::BTreeMap;

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::Dim;
use reference::tensor::{DType, Tensor, Tensors};
use reports::verdict::Verdict;

use crate::candidate::{Abilities, Fill, Mode, Request};
use crate::case::Case;
use crate::truth::Truth;

/// Every check, cheapest to explain first.
pub static CHECKS: &[&Check] = &[
    &forward::CHECK,
    &backward::CHECK,
    &resume::CHECK,
    &decode::CHECK,
    &local::CHECK,
    &varlen::CHECK,
    &isolation::CHECK,
    &causality::CHECK,
    &containment::CHECK,
    &prefix::CHECK,
    &evaluation::CHECK,
    &recompute::CHECK,
    &repeat::CHECK,
    &poison::CHECK,
    &graph::CHECK,
    &cold::CHECK,
    &wide::CHECK,
    &permute::CHECK,
    &columns::CHECK,
    &gauge::CHECK,
    &append::CHECK,
    &grouped::CHECK,
    &absent::CHECK,
    &reduction::CHECK,
    &gain::CHECK,
    &lattice::CHECK,
];

/// A property that a right implementation has.
#[derive(Debug)]
pub struct Check {
    /// Name in records and on the command line.
    pub name: &'static str,
    /// The property, in a line.
    pub summary: &'static str,
    /// Whether there is anything to check in this case. Where not, there is no record.
    pub applies: fn(&Case) -> bool,
    /// What the candidate must be able to do for it, or why it cannot be checked.
    pub needs: fn(&Abilities) -> Result<(), &'static str>,
    /// The calls to make. The truth is passed for its inputs and cotangents.
    pub plan: fn(&Case, &Truth) -> Vec<Call>,
    /// What the answers mean, in the order of the calls.
    pub judge: fn(&Trial<'_>) -> Result<Verdict, Error>,
}

/// The check of that name.
#[must_use]
pub fn check(name: &str) -> Option<&'static Check> {
    CHECKS.iter().copied().find(|c| c.name == name)
}

/// The checks that have something to check in this case.
pub fn applicable(case: &Case) -> impl Iterator<Item = &'static Check> {
    CHECKS.iter().copied().filter(|c| applies(case, c))
}

/// Whether a check has something to check in this case. Where every answer is exact, nothing but that is asked.
#[must_use]
pub fn applies(case: &Case, check: &Check) -> bool {
    (!case.profile.is_exact() || std::ptr::eq(check, &raw const lattice::CHECK)) && (check.applies)(case)
}

/// What a judge sees.
#[derive(Debug)]
pub struct Trial<'a> {
    /// The case.
    pub case: &'a Case,
    /// What is right.
    pub truth: &'a Truth,
    /// The calls that were made.
    pub calls: &'a [Call],
    /// Their answers.
    pub answers: &'a [Tensors],
}

/// An input of a planned call.
#[derive(Debug, Clone)]
pub enum Source {
    /// These numbers.
    Value(Tensor),
    /// These rows over and over, until there are that many.
    Repeated(Tensor, usize),
    /// What an earlier call answers.
    Answer {
        /// Which call, from 0.
        call: usize,
        /// Output or gradient.
        name: String,
        /// Element type in which it is passed on.
        dtype: DType,
    },
}

/// A planned call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Op, extents, attributes, packing.
    pub problem: Problem,
    /// Inputs by port.
    pub inputs: BTreeMap<String, Source>,
    /// Cotangents by `d_<output>`.
    pub cotangents: BTreeMap<String, Source>,
    /// Outputs and gradients that are wanted.
    pub want: Vec<String>,
    /// Poison for fresh memory.
    pub fill: Fill,
    /// The mode in which it is asked.
    pub mode: Mode,
    /// Whether the candidate is started anew for it.
    pub first: bool,
}

impl Call {
    /// The outputs of `problem` for these inputs.
    #[must_use]
    pub fn forward(problem: &Problem, inputs: &Tensors) -> Self {
        Self {
            problem: problem.clone(),
            inputs: values(inputs),
            cotangents: BTreeMap::new(),
            want: outputs(problem),
            fill: Fill::Any,
            mode: Mode::Any,
            first: false,
        }
    }

    /// Every gradient of `problem` for these inputs and cotangents.
    #[must_use]
    pub fn backward(problem: &Problem, inputs: &Tensors, cotangents: &Tensors) -> Self {
        Self { cotangents: values(cotangents), want: gradients(problem), ..Self::forward(problem, inputs) }
    }

    /// Outputs and every gradient in one call.
    #[must_use]
    pub fn both(problem: &Problem, inputs: &Tensors, cotangents: &Tensors) -> Self {
        let want = outputs(problem).into_iter().chain(gradients(problem)).collect();
        Self { want, ..Self::backward(problem, inputs, cotangents) }
    }

    /// Whether its tensors take so much memory that nothing else may be asked meanwhile.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.inputs.values().any(|source| matches!(source, Source::Repeated(..)))
    }

    /// The call with the answers that it needs filled in; `None` when an earlier call has not given them.
    #[must_use]
    pub fn request(&self, dtype: DType, answers: &[Tensors]) -> Option<Request> {
        let tensors = |sources: &BTreeMap<String, Source>| {
            let resolved = sources.iter().map(|(name, source)| Some((name.clone(), source.resolve(answers)?)));
            resolved.collect::<Option<Tensors>>()
        };
        Some(Request {
            problem: self.problem.clone(),
            dtype,
            inputs: tensors(&self.inputs)?,
            cotangents: tensors(&self.cotangents)?,
            want: self.want.clone(),
            fill: self.fill,
            mode: self.mode,
        })
    }
}

impl Source {
    fn resolve(&self, answers: &[Tensors]) -> Option<Tensor> {
        match self {
            Self::Value(tensor) => Some(tensor.clone()),
            Self::Repeated(tensor, rows) => Some(repeated(tensor, *rows)),
            Self::Answer { call, name, dtype } => {
                let tensor = answers.get(*call)?.get(name)?;
                let same = tensor.dtype() == *dtype;
                Some(if same { tensor.clone() } else { Tensor::from_array(&tensor.to_array(), *dtype) })
            }
        }
    }
}

/// The rows of a tensor over and over.
fn repeated(tensor: &Tensor, rows: usize) -> Tensor {
    let shape: Vec<usize> = std::iter::once(rows).chain(tensor.shape().iter().skip(1).copied()).collect();
    let size = shape.iter().product::<usize>() * tensor.dtype().size();
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size && !tensor.bytes().is_empty() {
        bytes.extend_from_slice(&tensor.bytes()[..tensor.bytes().len().min(size - bytes.len())]);
    }
    Tensor::from_bytes(tensor.dtype(), &shape, bytes).expect("as many bytes as the shape has")
}

fn values(tensors: &Tensors) -> BTreeMap<String, Source> {
    tensors.iter().map(|(name, t)| (name.clone(), Source::Value(t.clone()))).collect()
}

/// The names of every output that is asked for.
fn outputs(problem: &Problem) -> Vec<String> {
    problem.outputs().map(|p| p.name.to_owned()).collect()
}

/// The names of every gradient.
fn gradients(problem: &Problem) -> Vec<String> {
    problem.differentiable().map(|p| format!("d_{}", p.name)).collect()
}

/// Checks that need nothing but answers.
fn anyone(_: &Abilities) -> Result<(), &'static str> {
    Ok(())
}

/// Checks that are for every case.
fn always(_: &Case) -> bool {
    true
}

/// Whether a call can go on where another has ended.
#[must_use]
pub fn resumable(case: &Case) -> bool {
    let p = &case.problem;
    let known = |s: &reference::spec::State| !p.absent.contains(s.last);
    p.states().next().is_some() && p.states().all(known) && p.sequences.is_none() && p.size(Dim::T) > 1
}

fn has_tokens(case: &Case) -> bool {
    case.problem.size(Dim::T) > 0
}

/// The verdict on one call's answers, each measured against its standard.
#[must_use]
pub fn accurate(standards: &crate::truth::Standards, answers: &Tensors) -> Verdict {
    verdicts::accurate(standards, answers, 0)
}

/// The tokens of `range` of a case, started from these states, as a call for all outputs; `None` where a state is
/// missing.
#[must_use]
pub fn stretch(case: &Case, truth: &Truth, range: &std::ops::Range<usize>, states: &Tensors) -> Option<Request> {
    let piece = cut::tokens(case, truth, range);
    let mut call = Call::forward(&piece.problem, &piece.inputs);
    if range.start > 0 {
        decode::carry(case, &mut call, 0);
    }
    call.request(case.dtype, std::slice::from_ref(states))
}

/// The verdict on one tensor by itself.
#[must_use]
pub fn single(standard: &crate::measure::Standard, answer: &Tensor) -> Verdict {
    match (&standard.doubt, standard.judge(answer)) {
        (Some(reason), _) => Verdict::Mistrusted { reason: reason.clone() },
        (None, Ok(measures)) => Verdict::Pass { measures },
        (None, Err(fault)) => Verdict::Fail { fault, call: 0 },
    }
}

#[cfg(test)]
mod tests;
