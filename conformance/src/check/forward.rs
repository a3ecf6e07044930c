//! Outputs are as close to the truth as the declared precision allows.

use super::{Call, Check, always, anyone, verdicts};

pub(super) static CHECK: Check = Check {
    name: "forward",
    summary: "every output is as close to the f64 truth as the declared precision allows",
    applies: always,
    needs: anyone,
    plan: |case, truth| vec![Call::forward(&case.problem, &truth.inputs)],
    judge: |trial| {
        let standards = trial.truth.outputs()?;
        Ok(verdicts::accurate(&standards, &trial.answers[0], 0))
    },
};
