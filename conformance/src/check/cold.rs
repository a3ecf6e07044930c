//! The first answer of a new process is that of all later ones.
//!
//! What is compiled, tuned, measured or cached by the first call must not decide what it answers: whoever trains goes on
//! from a checkpoint in another process. Asked with outputs and gradients in one call, of one case of each op, because
//! some candidates take long to start.

use reference::spec::Level;

use super::{Call, Check, has_tokens, verdicts};

const PROMISE: &str = "the first call of a new process gives the bits of the next one";

/// The case that is asked.
const SEED: u64 = 60;

pub(super) static CHECK: Check = Check {
    name: "cold",
    summary: "the first answer of a new process has the bits of the next one, and of the first of another process",
    applies: |case| case.problem.spec.level <= Level::Module && case.seed == SEED && has_tokens(case),
    needs: |abilities| match abilities.restart {
        true => Ok(()),
        false => Err("the candidate lives in this process and cannot be started anew"),
    },
    plan: |case, truth| {
        let warm = Call::both(&case.problem, &truth.inputs, &truth.cotangents);
        let cold = Call { first: true, ..warm.clone() };
        vec![cold.clone(), warm, cold]
    },
    judge: |trial| {
        let [first, next, another] = trial.answers else {
            return Ok(verdicts::malformed("three answers".into(), 0));
        };
        let found = verdicts::all_same(first, next, PROMISE, 1);
        Ok(found.or_else(|| verdicts::all_same(first, another, PROMISE, 2)).unwrap_or_else(verdicts::pass))
    },
};
