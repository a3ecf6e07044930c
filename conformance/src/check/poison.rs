//! What fresh memory holds does not matter, and nothing but the outputs is written.
//!
//! Guard bands and inputs are compared by whoever holds the memory; a difference arrives as a trespass.

use super::{Call, Check, always, verdicts};
use crate::candidate::Fill;

const PROMISE: &str = "outputs do not depend on what fresh memory held: NaN, then a huge number";

pub(super) static CHECK: Check = Check {
    name: "poison",
    summary: "outputs and workspace filled with NaN, then with a huge number, give the same bits; guard bands hold",
    applies: always,
    needs: |abilities| {
        if abilities.fill { Ok(()) } else { Err("the candidate cannot poison fresh memory (feature fill)") }
    },
    plan: |case, truth| {
        let forward = Call::forward(&case.problem, &truth.inputs);
        let backward = Call::backward(&case.problem, &truth.inputs, &truth.cotangents);
        let filled = |call: &Call, fill| Call { fill, ..call.clone() };
        [&forward, &backward].iter().flat_map(|c| [filled(c, Fill::NaN), filled(c, Fill::Huge)]).collect()
    },
    judge: |trial| {
        let pairs = trial.answers.chunks(2).enumerate();
        let found = pairs.into_iter().find_map(|(i, pair)| match pair {
            [a, b] => verdicts::all_same(a, b, PROMISE, 2 * i + 1),
            _ => Some(verdicts::malformed("two answers".into(), 2 * i)),
        });
        Ok(found.unwrap_or_else(verdicts::pass))
    },
};
