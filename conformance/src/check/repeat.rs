//! The same question has the same answer, of some cases many times over: what threads race for is mostly won by the
//! same. Between the questions another one is asked, of fewer tokens, so that an allocator that keeps what it was given
//! back hands out other memory, and whatever was prepared for one shape is not all there is.

use reference::spec::{Dim, Level};

use super::{Call, Check, always, anyone, cut, verdicts};
use crate::case::Case;
use crate::truth::Truth;

const PROMISE: &str = "the same call gives the same bits";

pub(super) static CHECK: Check = Check {
    name: "repeat",
    summary: "the same call gives the same bits, gradients included, whatever was asked in between",
    applies: always,
    needs: anyone,
    plan: |case, truth| {
        let forward = Call::forward(&case.problem, &truth.inputs);
        let backward = Call::backward(&case.problem, &truth.inputs, &truth.cotangents);
        let round = |i| {
            let noise = if i == 0 { None } else { other(case, truth, i) };
            noise.into_iter().chain([&forward, &backward, &backward, &forward].map(Clone::clone))
        };
        (0..times(case)).flat_map(round).collect()
    },
    judge: |trial| {
        let whole: Vec<_> = trial.calls.iter().zip(trial.answers).enumerate().filter(is_whole(trial.case)).collect();
        let same = |backward: bool| {
            let mut all = whole.iter().filter(move |(_, (call, _))| call.cotangents.is_empty() != backward);
            let (_, (_, first)) = all.next()?;
            all.find_map(|(i, (_, again))| verdicts::all_same(first, again, PROMISE, *i))
        };
        Ok(same(false).or_else(|| same(true)).unwrap_or_else(verdicts::pass))
    },
};

/// Whether a call asks the whole question, and is no noise.
fn is_whole<A>(case: &Case) -> impl Fn(&(usize, (&Call, A))) -> bool {
    |(_, (call, _))| call.problem == case.problem
}

/// How often both are asked twice.
fn times(case: &Case) -> usize {
    match case.problem.spec.level <= Level::Module && case.seed.is_multiple_of(8) {
        true if case.seed >= LARGEST => MOST,
        true => OFTEN,
        false => 1,
    }
}

/// A call of fewer tokens, another number each time; none where sequences are packed or there is one token.
fn other(case: &Case, truth: &Truth, time: usize) -> Option<Call> {
    let tokens = case.problem.size(Dim::T);
    let fewer = 1 + time * 5 % tokens.max(2).saturating_sub(1);
    let cuts = case.problem.sequences.is_none() && fewer < tokens;
    cuts.then(|| {
        let piece = cut::tokens(case, truth, &(0..fewer));
        Call::forward(&piece.problem, &piece.inputs)
    })
}

const OFTEN: usize = 13;

/// In the largest suite alone, whose seeds go beyond these, more than fifty times.
const MOST: usize = 26;
const LARGEST: u64 = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn the_question_is_asked_more_than_fifty_times_with_others_between() {
        let (case, one) = (case("hgrn(T=40,D=3,seed=160)"), case("hgrn(T=1,D=3,seed=8)"));
        let calls = (CHECK.plan)(&case, &Truth::of(&case));
        let whole = calls.iter().filter(|c| c.problem == case.problem).count();
        assert!(whole == 4 * MOST && calls.len() == whole + MOST - 1);
        let lengths: std::collections::BTreeSet<usize> = calls.iter().map(|c| c.problem.size(Dim::T)).collect();
        assert!(lengths.len() > 5, "{lengths:?}");
        let between: Vec<usize> = calls.iter().map(|c| c.problem.size(Dim::T)).filter(|t| *t < 40).take(3).collect();
        assert_eq!(between, [6, 11, 16]);
        assert_eq!((times(&Case { seed: 1, ..case.clone() }), times(&Case { seed: 152, ..case })), (1, OFTEN));
        assert_eq!((CHECK.plan)(&one, &Truth::of(&one)).len(), 4 * OFTEN);
    }
}
