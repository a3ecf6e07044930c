//! What is trained is what is used: a layer or model computes the same in evaluation as in training.
//!
//! Implementations choose other kernels there, one for few tokens instead of one for many, and leave out what they do
//! to train alone.

use reference::spec::Level;

use super::{Call, Check, verdicts};
use crate::candidate::Mode;

pub(super) static CHECK: Check = Check {
    name: "evaluation",
    summary: "asked as for inference, every output is as close to the truth as the declared precision allows",
    applies: |case| case.problem.spec.level >= Level::Layer,
    needs: |abilities| match abilities.evaluation {
        true => Ok(()),
        false => Err("the candidate has no mode of evaluation (feature evaluation)"),
    },
    plan: |case, truth| vec![Call { mode: Mode::Evaluation, ..Call::forward(&case.problem, &truth.inputs) }],
    judge: |trial| {
        let standards = trial.truth.outputs()?;
        Ok(verdicts::accurate(&standards, &trial.answers[0], 0))
    },
};
