//! Packed sequences are what they are alone: a packed case is asked again one sequence at a time, a batch is asked
//! again as a packing.

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::Dim;
use reference::tensor::Tensors;
use reports::verdict::Verdict;

use super::cut::{self, Along, Piece};
use super::{Call, Check, Trial, anyone, gradients, outputs, verdicts};
use crate::case::Case;
use crate::truth::Truth;

pub(super) static CHECK: Check = Check {
    name: "varlen",
    summary: "packed sequences give, one by one, what they give alone, gradients included",
    applies: |case| case.problem.size(Dim::N) > 0 && super::has_tokens(case),
    needs: anyone,
    plan: |case, truth| {
        let both =
            |p: Piece| [Call::forward(&p.problem, &p.inputs), Call::backward(&p.problem, &p.inputs, &p.cotangents)];
        pieces(case, truth).into_iter().flat_map(both).collect()
    },
    judge,
};

fn pieces(case: &Case, truth: &Truth) -> Vec<Piece> {
    match &case.problem.sequences {
        Some(lengths) => (0..lengths.len()).map(|n| cut::sequence(case, truth, n)).collect(),
        None => vec![cut::packed(case, truth)],
    }
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let problem = &trial.case.problem;
    let forward: Vec<&Tensors> = trial.answers.iter().step_by(2).collect();
    let backward: Vec<&Tensors> = trial.answers.iter().skip(1).step_by(2).collect();
    let last = trial.calls.len() - 1;
    let (Some(outputs), Some(gradients)) =
        (whole(problem, outputs(problem), &forward), whole(problem, gradients(problem), &backward))
    else {
        return Ok(verdicts::malformed("the sequences' answers do not fit together".into(), last));
    };
    let standards = trial.truth.gradients(&trial.truth.cotangents)?;
    // a packed batch is one call, packed sequences are one each
    let gradients = match problem.sequences {
        Some(_) => verdicts::accurate_pieces(trial.case, &standards, &gradients, last),
        None => verdicts::accurate(&standards, &gradients, last),
    };
    Ok(verdicts::worst([verdicts::accurate(&*trial.truth.outputs()?, &outputs, last - 1), gradients]))
}

fn whole(problem: &Problem, names: Vec<String>, parts: &[&Tensors]) -> Option<Tensors> {
    let one = |name: String| {
        let tensor = match (&problem.sequences, parts) {
            (None, [packed]) => {
                let port = crate::truth::port(problem, &name)?;
                cut::reshaped(packed.get(&name)?, &problem.shape(port))
            }
            _ => cut::joined(problem, &name, parts, Along::Sequences)?,
        };
        Some((name, tensor))
    };
    names.into_iter().map(one).collect()
}
