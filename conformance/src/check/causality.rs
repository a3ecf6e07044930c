//! Later tokens do not matter: other finite values there leave earlier outputs as they are, to the bit.

use std::ops::Range;

use reference::error::Error;
use reference::spec::{Dim, OpSpec};
use reference::tensor::{Tensor, Tensors};
use reports::verdict::Verdict;

use super::{Call, Check, Trial, anyone, cut, verdicts};
use crate::case::Case;
use crate::sample;
use crate::truth::Truth;

const PROMISE: &str = "outputs do not depend on later tokens";

pub(super) static CHECK: Check = Check {
    name: "causality",
    summary: "other finite values at later tokens leave earlier outputs as they are, to the bit",
    applies: |case| case.problem.causal() && earlier(case).iter().any(|r| !r.is_empty()),
    needs: anyone,
    plan: |case, truth| {
        let replaced = truth.inputs.iter().map(|(name, t)| (name.clone(), replaced(case, truth, name, t))).collect();
        vec![Call::forward(&case.problem, &truth.inputs), Call::forward(&case.problem, &replaced)]
    },
    judge,
};

/// For each sequence the tokens, as they lie, whose outputs must stay.
pub(super) fn earlier(case: &Case) -> Vec<Range<usize>> {
    let tokens = case.problem.size(Dim::T);
    let spans: Vec<Range<usize>> = match &case.problem.sequences {
        Some(_) => case.problem.offsets().windows(2).map(|w| w[0]..w[1]).collect(),
        None => std::iter::once(0..tokens).collect(),
    };
    // a different place within the chunk for every seed
    let kept = |length: usize| if length < 2 { 0 } else { 1 + (length / 2 + case.seed as usize) % (length - 1) };
    let part = |span: Range<usize>| {
        let kept = kept(span.len());
        if case.problem.reversed() { span.end - kept..span.end } else { span.start..span.start + kept }
    };
    spans.into_iter().map(part).collect()
}

/// The tensor with other numbers at every token that is not an earlier one.
pub(super) fn replaced(case: &Case, truth: &Truth, name: &str, tensor: &Tensor) -> Tensor {
    let port = case.problem.spec.input(name).filter(|p| OpSpec::per_token(p));
    let Some(axis) = port.and_then(|p| cut::axis(p, Dim::T)) else { return tensor.clone() };
    let other = sample::others(case, name, &truth.inputs[name]);
    let (mut parts, mut at) = (Vec::new(), 0);
    for range in earlier(case).iter().filter(|r| !r.is_empty()) {
        parts.push(other.narrow(axis, at..range.start));
        parts.push(tensor.narrow(axis, range.clone()));
        at = range.end;
    }
    parts.push(other.narrow(axis, at..case.problem.size(Dim::T)));
    Tensor::concat(axis, &parts.iter().collect::<Vec<_>>()).unwrap_or(other)
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [a, b] = trial.answers else { return Ok(verdicts::malformed("two answers".into(), 0)) };
    for port in trial.case.problem.outputs().filter(|&p| OpSpec::per_token(p)) {
        let Some(axis) = cut::axis(port, Dim::T) else { continue };
        let pick = |tensors: &Tensors, r: &Range<usize>| Some(tensors.get(port.name)?.narrow(axis, r.clone()));
        for range in earlier(trial.case) {
            let (Some(before), Some(after)) = (pick(a, &range), pick(b, &range)) else {
                return Ok(verdicts::malformed(format!("{} is missing", port.name), 1));
            };
            if let Some(failure) = verdicts::same(port.name, &before, &after, PROMISE, 1) {
                return Ok(failure);
            }
        }
    }
    Ok(verdicts::pass())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn the_seed_says_how_many_tokens_stay() {
        let earlier = |text: &str| earlier(&case(text));
        let one = |text: &str| earlier(text).first().cloned();
        assert_eq!(one("simple_gla(T=10,seed=2)"), Some(0..8), "one token and (10 / 2 + 2) modulo 9");
        assert_eq!(one("simple_gla(T=10,seed=5)"), Some(0..2), "(10 / 2 + 5) modulo 9 is 1");
        assert_eq!(one("simple_gla(T=10,seed=2,reverse=true)"), Some(2..10));
        assert_eq!(earlier("simple_gla(seqs=1+2+6)"), [0..0, 1..2, 3..7]);
    }
}
