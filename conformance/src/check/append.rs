//! Tokens that write nothing and forget nothing, zeros with open gates, leave the state and all earlier outputs as they
//! are: what a chunk does beyond the end of a sequence is seen by it. A single token is a step, for which there may be a
//! kernel that sums in another order; so there are two tokens at least, of which the second may be such a one. Likewise
//! a long sequence may be cut, and where may go by the number of its chunks; so it stays within its last one.

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::{Dim, OpSpec};
use reference::tensor::{DType, Tensor, Tensors};
use reports::verdict::Verdict;

use super::{Call, Check, Trial, anyone, cut, verdicts};
use crate::case::Case;
use crate::probe::{Memo, Question, small};
use crate::sample::Profile;

const PROMISE: &str = "tokens that write and forget nothing change nothing";

pub(super) static CHECK: Check = Check {
    name: "append",
    summary: "tokens that write nothing and forget nothing leave states and earlier outputs as they are",
    applies: |case| super::resumable(case) && added(case) > 0 && still(case),
    needs: anyone,
    plan: |case, truth| {
        let before = 2usize.saturating_sub(case.problem.size(Dim::T));
        let with = |more| Call::forward(&longer(&case.problem, more), &padded(&case.problem, &truth.inputs, more));
        vec![with(before), with(before + added(case))]
    },
    judge,
};

/// Tokens of a sequence that nobody cuts.
const SHORT: usize = 1024;

/// How many tokens come after: up to the end of a chunk, or beyond it.
fn added(case: &Case) -> usize {
    let tokens = case.problem.size(Dim::T);
    let rest = tokens.next_multiple_of(64) - tokens;
    let within = tokens > SHORT || case.seed.is_multiple_of(2) && rest > 0;
    if within { rest } else { rest + 5 }
}

fn longer(problem: &Problem, more: usize) -> Problem {
    let mut longer = problem.clone();
    longer.sizes.insert(Dim::T, problem.size(Dim::T) + more);
    longer
}

/// Every input that has tokens, with zeros where time goes on.
fn padded(problem: &Problem, inputs: &Tensors, more: usize) -> Tensors {
    let pad = |(name, tensor): (&String, &Tensor)| {
        let axis = problem.spec.input(name).filter(|p| OpSpec::per_token(p)).and_then(|p| cut::axis(p, Dim::T));
        let Some(axis) = axis else { return (name.clone(), tensor.clone()) };
        let mut shape = tensor.shape().to_vec();
        shape[axis] = more;
        let zeros = Tensor::filled(tensor.dtype(), &shape, 0.0);
        let parts = if problem.reversed() { [&zeros, tensor] } else { [tensor, &zeros] };
        (name.clone(), Tensor::concat(axis, &parts).unwrap_or_else(|| tensor.clone()))
    };
    inputs.iter().map(pad).collect()
}

/// An answer without the tokens that came after.
fn earlier(problem: &Problem, name: &str, answer: &Tensor, more: usize) -> Tensor {
    match problem.spec.output(name).and_then(|p| cut::axis(p, Dim::T)) {
        Some(axis) if problem.reversed() => answer.narrow(axis, more..answer.shape()[axis]),
        Some(axis) => answer.narrow(axis, 0..answer.shape()[axis] - more),
        None => answer.clone(),
    }
}

static KNOWN: Memo<bool> = Memo::new();

/// Whether zeros are such tokens for the op itself: not where a gate is raw, or a state counts tokens.
fn still(case: &Case) -> bool {
    let Some(small) = small(case, Profile::Typical, 1) else { return false };
    KNOWN.of(&small, |small| {
        let more = 3;
        let question = Question::of(small);
        let narrow = question.inputs.iter().map(|(n, a)| (n.clone(), Tensor::from_array(a, DType::F64))).collect();
        let inputs = padded(&small.problem, &narrow, more).into_iter().map(|(n, t)| (n, t.to_array())).collect();
        let changed = Question { problem: longer(&small.problem, more), inputs, ..question.clone() };
        let (Ok(before), Ok(after)) = (question.outputs(), changed.outputs()) else { return false };
        before.iter().all(|(name, a)| {
            let after = Tensor::from_array(&after[name], DType::F64);
            earlier(&small.problem, name, &after, more).to_array() == a
        })
    })
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [before, after] = trial.answers else { return Ok(verdicts::malformed("two answers".into(), 0)) };
    let problem = &trial.case.problem;
    let cut = |(name, t): (&String, &Tensor)| (name.clone(), earlier(problem, name, t, added(trial.case)));
    let after: Tensors = after.iter().map(cut).collect();
    Ok(verdicts::all_same(before, &after, PROMISE, 1).unwrap_or_else(verdicts::pass))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{case, tensor};

    #[test]
    fn tokens_are_added_to_the_end_of_a_chunk_or_beyond_it() {
        let added = |text: &str| added(&case(text));
        assert_eq!((added("hgrn(T=70)"), added("hgrn(T=70,seed=1)")), (58, 63));
        assert_eq!((added("hgrn(T=64)"), added("hgrn(T=64,seed=1)")), (5, 5), "at the end of a chunk, beyond it");
        assert_eq!((added("hgrn(T=2200,seed=1)"), added("hgrn(T=2048)")), (40, 0), "a long one may be cut elsewhere");
    }

    #[test]
    fn what_came_after_lies_where_time_goes_on() {
        let answer = tensor(DType::F32, &[1, 4, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
        let left = |text: &str| -> Vec<f64> { earlier(&case(text).problem, "o", &answer, 3).values().collect() };
        assert_eq!((left("simple_gla(T=1)"), left("simple_gla(T=1,reverse=true)")), (vec![1.0], vec![4.0]));
    }
}
