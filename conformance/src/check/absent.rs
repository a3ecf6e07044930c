//! An absent input is what it stands for: given as zeros or ones, answers are as right as without it. All of the absent
//! ones at once, and one by itself.

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::{Port, Presence};
use reference::tensor::{Tensor, Tensors};
use reports::verdict::Verdict;

use super::{Call, Check, Trial, anyone, verdicts};
use crate::case::Case;

pub(super) static CHECK: Check = Check {
    name: "absent",
    summary: "zeros or ones for an absent input, whichever it stands for, give the answers without it",
    applies: |case| super::has_tokens(case) && !filled(case).is_empty(),
    needs: anyone,
    plan: |case, truth| {
        let both = |ports: Vec<&'static Port>| {
            let problem = given(&case.problem, &ports);
            let neutral = |p: &&Port| {
                let dtype = Problem::dtype(p, case.dtype);
                (p.name.to_owned(), Tensor::filled(dtype, &problem.shape(p), p.presence.neutral()))
            };
            let inputs: Tensors = truth.inputs.clone().into_iter().chain(ports.iter().map(neutral)).collect();
            [Call::forward(&problem, &inputs), Call::backward(&problem, &inputs, &truth.cotangents)]
        };
        filled(case).into_iter().flat_map(both).collect()
    },
    judge: |trial| {
        let found: Result<Vec<_>, Error> = (0..trial.answers.len()).map(|call| judge(trial, call)).collect();
        Ok(verdicts::judged(found?))
    },
};

/// Sets of absent inputs that may be given: all that go together, and, of several, one by itself.
fn filled(case: &Case) -> Vec<Vec<&'static Port>> {
    let finite = |p: &&Port| matches!(p.presence, Presence::OrZero | Presence::OrOne);
    let absent = |p: &&Port| case.problem.allows(p) && case.problem.absent.contains(p.name);
    let ports: Vec<&'static Port> = case.problem.spec.inputs.iter().filter(finite).filter(absent).collect();
    let mut together: Vec<&'static Port> = Vec::new();
    for &port in &ports {
        together.push(port);
        if given(&case.problem, &together).validate().is_err() {
            together.pop();
        }
    }
    if ports.is_empty() || together.is_empty() {
        return Vec::new();
    }
    let one = vec![ports[case.seed as usize % ports.len()]];
    let several = together.len() > 1 || together[0].name != one[0].name;
    let mut sets = vec![together];
    if several && given(&case.problem, &one).validate().is_ok() {
        sets.push(one);
    }
    sets
}

fn given(problem: &Problem, ports: &[&'static Port]) -> Problem {
    let mut problem = problem.clone();
    problem.absent.retain(|name| !ports.iter().any(|p| p.name == *name));
    problem
}

fn judge(trial: &Trial<'_>, call: usize) -> Result<Option<Verdict>, Error> {
    let standards = match call % 2 {
        0 => trial.truth.outputs()?,
        _ => trial.truth.gradients(&trial.truth.cotangents)?,
    };
    Ok(verdicts::accurate_where_possible(&standards, &trial.answers[call], call))
}
