//! A model whose activations are computed once more on the way back has the same gradients.
//!
//! What a block overwrites, draws at random or counts is different the second time. In training there are no states to
//! start from or to hand on, so cotangents are of tokens alone.

use reference::spec::{Level, OpSpec};
use reference::tensor::Tensors;

use super::{Call, Check, has_tokens, verdicts};
use crate::candidate::Mode;
use crate::case::Case;
use crate::truth::Truth;

pub(super) static CHECK: Check = Check {
    name: "recompute",
    summary: "with activations computed once more on the way back, every gradient is as close to the exact one",
    applies: |case| {
        let p = &case.problem;
        let fresh = p.states().all(|s| p.absent.contains(s.initial));
        p.spec.level == Level::Model && p.differentiable().next().is_some() && has_tokens(case) && fresh
    },
    needs: |abilities| match abilities.recompute {
        true => Ok(()),
        false => Err("the candidate cannot compute activations once more (feature recompute)"),
    },
    plan: |case, truth| {
        let backward = Call::backward(&case.problem, &truth.inputs, &of_tokens(case, truth));
        vec![Call { mode: Mode::Recompute, ..backward }]
    },
    judge: |trial| {
        let standards = trial.truth.gradients(&of_tokens(trial.case, trial.truth))?;
        Ok(verdicts::accurate(&standards, &trial.answers[0], 0))
    },
};

fn of_tokens(case: &Case, truth: &Truth) -> Tensors {
    let output = |name: &str| case.problem.spec.output(name.strip_prefix("d_")?);
    let taken = truth.cotangents.iter().filter(|(name, _)| output(name).is_some_and(OpSpec::per_token));
    taken.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
}
