//! The same question has the same answer.

use super::{Call, Check, always, anyone, verdicts};

const PROMISE: &str = "the same call gives the same bits";

pub(super) static CHECK: Check = Check {
    name: "repeat",
    summary: "the same call gives the same bits, gradients included",
    applies: always,
    needs: anyone,
    plan: |case, truth| {
        let forward = Call::forward(&case.problem, &truth.inputs);
        let backward = Call::backward(&case.problem, &truth.inputs, &truth.cotangents);
        [&forward, &backward, &backward, &forward].map(Call::clone).to_vec()
    },
    judge: |trial| {
        let [a, b, c, d] = trial.answers else { return Ok(verdicts::malformed("four answers".into(), 0)) };
        let first = verdicts::all_same(b, c, PROMISE, 2);
        Ok(first.or_else(|| verdicts::all_same(a, d, PROMISE, 3)).unwrap_or_else(verdicts::pass))
    },
};
