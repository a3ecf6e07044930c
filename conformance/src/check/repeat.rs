//! The same question has the same answer, of some cases many times over: what threads race for is mostly won by the
//! same.

use reference::spec::Level;

use super::{Call, Check, always, anyone, verdicts};
use crate::case::Case;

const PROMISE: &str = "the same call gives the same bits";

pub(super) static CHECK: Check = Check {
    name: "repeat",
    summary: "the same call gives the same bits, gradients included",
    applies: always,
    needs: anyone,
    plan: |case, truth| {
        let forward = Call::forward(&case.problem, &truth.inputs);
        let backward = Call::backward(&case.problem, &truth.inputs, &truth.cotangents);
        (0..times(case)).flat_map(|_| [&forward, &backward, &backward, &forward]).cloned().collect()
    },
    judge: |trial| {
        let [a, b, ..] = trial.answers else { return Ok(verdicts::malformed("four answers".into(), 0)) };
        let again = trial.answers.iter().enumerate().skip(2);
        let differs = |(i, c)| verdicts::all_same(if i % 4 == 3 || i % 4 == 0 { a } else { b }, c, PROMISE, i);
        Ok(again.into_iter().find_map(differs).unwrap_or_else(verdicts::pass))
    },
};

/// How often both are asked twice.
fn times(case: &Case) -> usize {
    if case.problem.spec.level <= Level::Module && case.seed.is_multiple_of(8) { OFTEN } else { 1 }
}

const OFTEN: usize = 13;
