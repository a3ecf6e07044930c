//! A sequence cut anywhere, with the state carried over, is the whole sequence; so are its gradients, with the state's
//! cotangent carried back.

use std::ops::Range;

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::{Dim, Precision};
use reference::tensor::{DType, Tensors};
use reports::verdict::Verdict;

use super::cut::{self, Along, Piece};
use super::{Call, Check, Source, Trial, anyone, gradients, verdicts};
use crate::case::Case;
use crate::truth::Truth;

pub(super) static CHECK: Check = Check {
    name: "resume",
    summary: "cut at any token, with the state and its cotangent carried over, outputs and gradients are right",
    applies: super::resumable,
    needs: anyone,
    plan: |case, truth| cuts(case).into_iter().enumerate().flat_map(|(i, at)| calls(case, truth, at, 4 * i)).collect(),
    judge: |trial| {
        let found: Result<Vec<_>, Error> = (0..cuts(trial.case).len()).map(|i| judge(trial, 4 * i)).collect();
        Ok(verdicts::worst(found?))
    },
};

/// Two cuts of a case; the seed says which: after one token, in the middle, at a chunk border and beside it.
pub(super) fn cuts(case: &Case) -> Vec<usize> {
    let tokens = case.problem.size(Dim::T);
    let borders = [1, 64, tokens / 2, 63, tokens - 1, 65, 16, 128];
    let seed = case.seed as usize;
    let mut cuts: Vec<usize> = (0..borders.len()).map(|i| borders[(seed + i) % borders.len()]).collect();
    cuts.retain(|&c| 0 < c && c < tokens);
    cuts.dedup();
    cuts.truncate(2);
    cuts
}

/// The pieces in the order of time.
fn pieces(case: &Case, truth: &Truth, at: usize) -> [Piece; 2] {
    let (head, tail): (Range<usize>, Range<usize>) = (0..at, at..case.problem.size(Dim::T));
    let ordered = if case.problem.reversed() { [tail, head] } else { [head, tail] };
    ordered.map(|range| cut::tokens(case, truth, &range))
}

/// Forward through both pieces, then backward through both, counted from call `base`.
pub(super) fn calls(case: &Case, truth: &Truth, at: usize, base: usize) -> [Call; 4] {
    let [first, mut last] = pieces(case, truth, at);
    let states: Vec<_> = case.problem.states().collect();
    let mut forward = [Call::forward(&first.problem, &first.inputs), Call::forward(&last.problem, &last.inputs)];
    for state in &states {
        last.problem.absent.remove(state.initial);
        let source = answer(&case.problem, base, state.last, state.initial, case.dtype);
        forward[1].inputs.insert(state.initial.to_owned(), source);
    }
    forward[1].problem = last.problem.clone();
    let mut backward = [
        Call::backward(&last.problem, &last.inputs, &last.cotangents),
        Call::backward(&first.problem, &first.inputs, &first.cotangents),
    ];
    backward[0].inputs = forward[1].inputs.clone();
    for state in &states {
        let carried = format!("d_{}", state.initial);
        let source = answer(&case.problem, base + 2, &carried, state.last, case.dtype);
        backward[1].cotangents.insert(format!("d_{}", state.last), source);
    }
    let [a, b] = forward;
    let [c, d] = backward;
    [a, b, c, d]
}

/// What call `call` answers under `name`, as the port `as_port` takes it.
fn answer(problem: &Problem, call: usize, name: &str, as_port: &str, storage: DType) -> Source {
    let port = problem.spec.input(as_port).or_else(|| problem.spec.output(as_port));
    let dtype = port.map_or(storage, |p| Problem::dtype(p, storage));
    Source::Answer { call, name: name.to_owned(), dtype }
}

/// Outputs and gradients of the whole, from the four calls that begin with `base`; none where they do not fit together.
pub(super) fn put_together(trial: &Trial<'_>, base: usize) -> (Option<Tensors>, Option<Tensors>) {
    let Some([first, last, d_last, d_first]) = trial.answers.get(base..base + 4) else { return (None, None) };
    let problem = &trial.case.problem;
    let in_place = |first, last| if problem.reversed() { [last, first] } else { [first, last] };
    let outputs = whole(problem, super::outputs(problem), &in_place(first, last));
    (outputs, whole(problem, gradients(problem), &in_place(d_first, d_last)))
}

fn judge(trial: &Trial<'_>, base: usize) -> Result<Verdict, Error> {
    let (outputs, gradients) = put_together(trial, base);
    let truth = trial.truth.outputs()?;
    let forward = fitting(outputs, base + 1, |o| verdicts::accurate(&truth, o, base + 1));
    if rounded(trial.case) {
        return Ok(forward);
    }
    let standards = trial.truth.gradients(&trial.truth.cotangents)?;
    let judge = |g: &Tensors| verdicts::accurate_pieces(trial.case, &standards, g, base + 3);
    Ok(verdicts::worst([forward, fitting(gradients, base + 3, judge)]))
}

/// Whether a state's cotangent is rounded where it is handed back, which the whole's gradient knows nothing of.
pub(super) fn rounded(case: &Case) -> bool {
    let short = matches!(case.dtype, DType::Bf16 | DType::F16);
    let stored = |initial| case.problem.spec.input(initial).is_some_and(|p| p.precision == Precision::Storage);
    short && case.problem.states().any(|s| stored(s.initial))
}

fn whole(problem: &Problem, names: Vec<String>, parts: &[&Tensors]) -> Option<Tensors> {
    names.into_iter().map(|n| cut::joined(problem, &n, parts, Along::Time).map(|t| (n, t))).collect()
}

fn fitting(answers: Option<Tensors>, call: usize, judge: impl FnOnce(&Tensors) -> Verdict) -> Verdict {
    match answers {
        Some(answers) => judge(&answers),
        None => verdicts::malformed("the pieces' answers do not fit together".into(), call),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn a_case_is_cut_at_two_places_that_the_seed_chooses() {
        let cuts = |tokens: usize, seed: usize| cuts(&case(&format!("hgrn(T={tokens},seed={seed})")));
        let expected = [[1, 64], [64, 65], [65, 63], [63, 129], [129, 65], [65, 16], [16, 128], [128, 1]];
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(|seed| cuts(130, seed)), expected);
        assert_eq!(cuts(64, 0), [1, 32], "a cut at the end is none");
        assert_eq!((cuts(2, 1), cuts(1, 0)), (vec![1], Vec::new()));
    }

    #[test]
    fn a_states_cotangent_is_rounded_where_the_state_is_stored_short() {
        let rounded = |text: &str| rounded(&case(text));
        assert!(!rounded("hgrn(dtype=bf16)") && !rounded("short_convolution(dtype=f32)"));
        assert!(rounded("short_convolution(dtype=bf16)") && rounded("short_convolution(dtype=f16)"));
    }
}
