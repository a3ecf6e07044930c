//! On numbers by which every sum is exact, answers are exact: no tolerance, whatever the storage type.
//!
//! Of the whole at once, and of two pieces with the state carried over. Elements are asked for where a run of the
//! oracle that rounds coarsely gives the truth, and the answer's type holds it; see [`crate::lattice`].

use std::collections::BTreeMap;

use reference::error::Error;
use reference::tensor::Tensors;
use reports::verdict::{Fault, Verdict};

use super::{Call, Check, Trial, anyone, resume, verdicts};
use crate::case::Case;
use crate::lattice::{Exact, admits, exact};
use crate::measure::index;
use crate::probe::Question;

pub(super) static CHECK: Check = Check {
    name: "lattice",
    summary: "on integers and one-hot keys, by which every sum is exact, outputs, states and gradients are exact",
    applies: |case| case.profile.is_exact(),
    needs: anyone,
    plan: |case, truth| {
        let whole = [
            Call::forward(&case.problem, &truth.inputs),
            Call::backward(&case.problem, &truth.inputs, &truth.cotangents),
        ];
        let pieces = cut(case).into_iter().flat_map(|at| resume::calls(case, truth, at, whole.len()));
        whole.iter().cloned().chain(pieces).collect()
    },
    judge,
};

/// Where the sequence is cut, if it can be.
fn cut(case: &Case) -> Option<usize> {
    super::resumable(case).then(|| resume::cuts(case).first().copied()).flatten()
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    if !admits(trial.case) {
        let reason = "the answers to such a problem are not exact, whatever the numbers".into();
        return Ok(Verdict::Mistrusted { reason });
    }
    let found = exact(&Question::of(trial.case), trial.case.dtype, trial.case.profile)?;
    let output = |name: &&String| trial.case.problem.spec.output(name).is_some();
    let outputs: Vec<&Exact> = found.keys().filter(output).map(|name| &found[name]).collect();
    if !outputs.iter().any(|e| e.speaks()) {
        let zeros = outputs.iter().all(|e| e.resolves());
        return Ok(match zeros {
            true => Verdict::NotApplicable { reason: "zeros are right on these numbers".into() },
            false => Verdict::Mistrusted { reason: "no output is exact on these numbers".into() },
        });
    }
    let whole = trial.answers[..2].iter().enumerate().find_map(|(call, answers)| wrong(&found, answers, call));
    if whole.is_some() || cut(trial.case).is_none() {
        return Ok(whole.unwrap_or_else(verdicts::pass));
    }
    let (outputs, gradients) = resume::put_together(trial, 2);
    let parts = [(outputs, 3), (gradients, 5)];
    let kept = parts.into_iter().filter(|(_, call)| *call == 3 || !resume::rounded(trial.case));
    let pieces = kept.into_iter().find_map(|(answers, call)| match answers {
        Some(answers) => wrong(&found, &answers, call),
        None => Some(verdicts::malformed("the pieces' answers do not fit together".into(), call)),
    });
    Ok(pieces.unwrap_or_else(verdicts::pass))
}

/// The failure, when an element is not what it must be.
fn wrong(found: &BTreeMap<String, Exact>, answers: &Tensors, call: usize) -> Option<Verdict> {
    answers.iter().find_map(|(name, got)| {
        let exact = found.get(name).filter(|e| e.resolves())?;
        let (i, expected, came) = exact.differs(got)?;
        let at = index(exact.values.shape(), i);
        let promise = format!("sums of these numbers are exact: expected {expected}, got {came}");
        Some(Verdict::Fail { fault: Fault::Different { port: name.clone(), at, promise }, call })
    })
}
