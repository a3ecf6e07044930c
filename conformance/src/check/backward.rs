//! Gradients are as close to the truth as the declared precision allows, each by itself.
//!
//! Cotangents are random on every output. One case in three also asks with a cotangent on the tokens' outputs alone,
//! one in three on the final states alone: a missing cotangent is zero. Not the latter in `f16`, whose range ends where
//! gradients are that have decayed from a final state over many tokens, so that nothing could be judged.

use reference::spec::OpSpec;
use reference::tensor::{DType, Tensors};

use super::{Call, Check, anyone, verdicts};
use crate::case::Case;
use crate::truth::Truth;

pub(super) static CHECK: Check = Check {
    name: "backward",
    summary: "every gradient, by itself, is as close to the exact one as the declared precision allows",
    applies: |case| case.problem.differentiable().next().is_some() && super::has_tokens(case),
    needs: anyone,
    plan: |case, truth| variants(case, truth).iter().map(|c| Call::backward(&case.problem, &truth.inputs, c)).collect(),
    judge: |trial| {
        let mut found = Vec::new();
        for (call, cotangents) in variants(trial.case, trial.truth).iter().enumerate() {
            let standards = trial.truth.gradients(cotangents)?;
            found.push(verdicts::accurate(&standards, &trial.answers[call], call));
        }
        Ok(verdicts::worst(found))
    },
};

fn variants(case: &Case, truth: &Truth) -> Vec<Tensors> {
    let mut variants = vec![truth.cotangents.clone()];
    let per_token = |name: &str| {
        let port = name.strip_prefix("d_").and_then(|o| case.problem.spec.output(o));
        port.is_some_and(OpSpec::per_token)
    };
    let only = |wanted: bool| -> Tensors {
        truth.cotangents.iter().filter(|(n, _)| per_token(n) == wanted).map(|(n, t)| (n.clone(), t.clone())).collect()
    };
    let extra = match case.seed % 3 {
        1 => only(true),
        2 if case.dtype != DType::F16 => only(false),
        _ => Tensors::new(),
    };
    if !extra.is_empty() && extra.len() < truth.cotangents.len() {
        variants.push(extra);
    }
    variants
}
