//! The cases that faults are hunted on, with what is right about them.

use std::sync::OnceLock;

use reference::oracle;
use reference::rounded::Rounding;
use reference::tensor::{Arrays, DType, Tensors};
use reports::verdict::Verdict;

use super::rules::Rule;
use crate::candidate::Candidate;
use crate::case::Case;
use crate::check::{self, Check};
use crate::examine::{Asked, ask, judge, standards, wrong};
use crate::measure::rounding;
use crate::suite::{self, Size};
use crate::truth::Truth;

/// A case, and everything about it that no candidate changes.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) case: Case,
    pub(super) suite: Size,
    /// Its place in the suite.
    pub(super) place: usize,
    pub(super) truth: Truth,
    /// What plain code at the same precision answers: outputs, gradients.
    same: OnceLock<[Arrays; 2]>,
    /// What is held against the kernels as they are.
    pub(super) right: OnceLock<Right>,
}

/// What is held against kernels without a fault on a case: it tells nothing of one.
#[derive(Debug)]
pub(super) struct Right {
    /// Checks that they fail.
    pub(super) failing: Vec<&'static str>,
    /// Rules that reject them.
    pub(super) rejecting: Vec<Rule>,
}

impl Ground {
    fn new(case: Case, suite: Size, place: usize) -> Self {
        let truth = Truth::of(&case);
        Self { case, suite, place, truth, same: OnceLock::new(), right: OnceLock::new() }
    }

    /// The cases of an op in a suite, those of the next smaller one first, by suite.
    pub(super) fn of(op: &str, size: Size) -> Vec<Self> {
        let Some(spec) = reference::spec(op) else { return Vec::new() };
        let smoke = suite::cases_of(spec, Size::Smoke);
        let ground = |(place, case): (usize, Case)| {
            let suite = if smoke.contains(&case) { Size::Smoke } else { size };
            Self::new(case, suite, place)
        };
        suite::cases_of(spec, size).into_iter().enumerate().map(ground).collect()
    }

    /// The verdict of a check on a candidate, and what was answered.
    pub(super) fn put(&self, candidate: &mut dyn Candidate, check: &Check) -> (Verdict, Asked) {
        let asked = ask(candidate, &self.case, &self.truth, check);
        (judge(&self.case, &self.truth, check, &asked), asked)
    }

    /// The outputs and gradients of the first call that are wrong by themselves.
    pub(super) fn wrong(&self, check: &Check, asked: &Asked) -> Vec<String> {
        wrong(&self.truth, check, asked)
    }

    /// The rules that reject the first call's answers.
    pub(super) fn rejecting(&self, check: &Check, asked: &Asked) -> Vec<Rule> {
        let Some(standards) = standards(&self.truth, check) else { return Vec::new() };
        let Some(answers) = asked.answers.first() else {
            // no answer is no right answer
            return if matches!(asked.verdict, Some(Verdict::Fail { .. })) { Rule::ALL.to_vec() } else { Vec::new() };
        };
        let Some(same) = self.same(check) else { return Vec::new() };
        let accepted = |rule: &Rule| {
            standards.iter().all(|(name, standard)| match (answers.get(name), same.get(name)) {
                (Some(got), Some(same)) => rule.accepts(&standard.truth, &got.to_array(), same),
                _ => true,
            })
        };
        Rule::ALL.into_iter().filter(|rule| !accepted(rule)).collect()
    }

    fn same(&self, check: &Check) -> Option<&Arrays> {
        let [outputs, gradients] = self.same.get_or_init(|| {
            let answer = nearest(&self.case, &self.truth);
            answer.unwrap_or_default()
        });
        match check.name {
            "forward" => Some(outputs),
            "backward" => Some(gradients),
            _ => None,
        }
    }
}

/// Outputs and gradients of the recurrence with operands rounded to nearest in the storage type, as stored.
fn nearest(case: &Case, truth: &Truth) -> Option<[Arrays; 2]> {
    let rounding = Rounding { seed: 0, ..rounding(case.dtype, 0) };
    sample(case, truth, &rounding)
}

/// Outputs and gradients of one run of the oracle at some rounding, as stored; nothing for a question that it declines.
pub(super) fn sample(case: &Case, truth: &Truth, rounding: &Rounding) -> Option<[Arrays; 2]> {
    let (inputs, seeds) = (widen(&truth.inputs), widen(&truth.cotangents));
    let want: Vec<&str> = case.problem.differentiable().map(|p| p.name).collect();
    let mut outputs = oracle::rounded(&case.problem, &inputs, &Arrays::new(), &[], rounding).ok()?.outputs;
    outputs.retain(|name, _| case.problem.outputs().any(|p| p.name == name));
    let gradients = match want.is_empty() || !check::CHECKS.iter().any(|c| c.name == "backward" && (c.applies)(case)) {
        true => Arrays::new(),
        false => oracle::rounded(&case.problem, &inputs, &seeds, &want, rounding).ok()?.gradients,
    };
    let stored = |(name, values): (String, ndarray::ArrayD<f64>)| {
        let port = crate::truth::port(&case.problem, &name);
        let dtype = port.map_or(case.dtype, |p| reference::problem::Problem::dtype(p, case.dtype));
        (name, values.mapv(|y| if dtype == DType::F64 { y } else { dtype.round(y) }))
    };
    Some([outputs, gradients].map(|arrays| arrays.into_iter().map(stored).collect()))
}

fn widen(tensors: &Tensors) -> Arrays {
    tensors.iter().map(|(name, t)| (name.clone(), t.to_array())).collect()
}
