//! Token by token through the state: what serving does.

use std::ops::Range;

use reference::problem::Problem;
use reference::spec::Dim;
use reference::tensor::Tensors;

use super::cut::{self, Along};
use super::{Call, Check, Source, anyone, outputs, verdicts};
use crate::case::Case;
use crate::truth::Truth;

/// Tokens that are decoded one by one; those before them are one call, the prefill.
const DECODED: usize = 8;

pub(super) static CHECK: Check = Check {
    name: "decode",
    summary: "the last tokens one at a time through the state give the outputs of the whole sequence",
    applies: super::resumable,
    needs: anyone,
    plan: |case, truth| chain(case, truth, &steps(case)),
    judge: |trial| {
        let problem = &trial.case.problem;
        let mut parts: Vec<&Tensors> = trial.answers.iter().collect();
        if problem.reversed() {
            parts.reverse();
        }
        let join = |name: String| cut::joined(problem, &name, &parts, Along::Time).map(|t| (name, t));
        let whole: Option<Tensors> = outputs(problem).into_iter().map(join).collect();
        let last = trial.calls.len() - 1;
        let Some(whole) = whole else {
            return Ok(verdicts::malformed("the steps' outputs do not fit together".into(), last));
        };
        Ok(verdicts::accurate(&*trial.truth.outputs()?, &whole, last))
    },
};

/// Token ranges in the order of time: the prefill, then single tokens.
fn steps(case: &Case) -> Vec<Range<usize>> {
    let tokens = case.problem.size(Dim::T);
    let prefill = tokens.saturating_sub(DECODED);
    let single = (prefill..tokens).map(|t| t..t + 1);
    let steps = (prefill > 0).then_some(0..prefill).into_iter().chain(single);
    if !case.problem.reversed() {
        return steps.collect();
    }
    steps.map(|r| tokens - r.end..tokens - r.start).collect()
}

/// One call for each piece, in the order of time, each from the states that the one before ends with.
pub(super) fn chain(case: &Case, truth: &Truth, pieces: &[Range<usize>]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for range in pieces {
        let piece = cut::tokens(case, truth, range);
        let mut call = Call::forward(&piece.problem, &piece.inputs);
        if let Some(before) = calls.len().checked_sub(1) {
            carry(case, &mut call, before);
        }
        calls.push(call);
    }
    calls
}

/// Starts `call` from the states that call `before` ends with.
pub(super) fn carry(case: &Case, call: &mut Call, before: usize) {
    for state in case.problem.states() {
        let Some(port) = case.problem.spec.input(state.initial) else { continue };
        let dtype = Problem::dtype(port, case.dtype);
        call.problem.absent.remove(state.initial);
        let source = Source::Answer { call: before, name: state.last.to_owned(), dtype };
        call.inputs.insert(state.initial.to_owned(), source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn a_prefill_and_then_single_tokens_in_the_order_of_time() {
        let steps = |text: &str| steps(&case(text));
        let single = |range: Range<usize>| range.map(|t| t..t + 1);
        assert!(steps("simple_gla(T=11)").into_iter().eq(std::iter::once(0..3).chain(single(3..11))));
        assert!(steps("simple_gla(T=8)").into_iter().eq(single(0..8)), "no prefill of nothing");
        let backwards = std::iter::once(8..11).chain(single(0..8).rev());
        assert!(steps("simple_gla(T=11,reverse=true)").into_iter().eq(backwards));
    }
}
