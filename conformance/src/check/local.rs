//! Every stretch of a sequence is right by itself: from the state that the candidate itself had before it to the one
//! after it. Against the truth of the whole, a fault in one place may hide behind what rounding has done until there, or
//! have decayed when the sequence ends; against the truth about this very stretch it stands alone.

use std::ops::Range;

use reference::error::Error;
use reference::spec::{Dim, Level};
use reports::verdict::Verdict;

use super::{Check, Trial, anyone, decode, verdicts};
use crate::case::Case;
use crate::examine::truth_of;

/// Stretches of a sequence.
const STRETCHES: usize = 3;

/// Where there are enough tokens, stretches begin at multiples of this.
const GRAIN: usize = 16;

pub(super) static CHECK: Check = Check {
    name: "local",
    summary: "from the candidate's own state before each stretch, its outputs and its state after it are right",
    applies: |case| {
        super::resumable(case)
            && case.problem.size(Dim::T) >= STRETCHES
            && case.problem.spec.level <= Level::Module
            && case.seed.is_multiple_of(2)
    },
    needs: anyone,
    plan: |case, truth| decode::chain(case, truth, &stretches(case)),
    judge,
};

/// The stretches in the order of time.
fn stretches(case: &Case) -> Vec<Range<usize>> {
    let tokens = case.problem.size(Dim::T);
    let border = |i: usize| {
        let at = i * tokens / STRETCHES;
        if i < STRETCHES && tokens >= 2 * STRETCHES * GRAIN { at / GRAIN * GRAIN } else { at }
    };
    let mut stretches: Vec<_> = (0..STRETCHES).map(|i| border(i)..border(i + 1)).collect();
    if case.problem.reversed() {
        stretches.reverse();
    }
    stretches
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let mut found = Vec::new();
    for (call, (planned, answers)) in trial.calls.iter().zip(trial.answers).enumerate() {
        let Some(request) = planned.request(trial.case.dtype, trial.answers) else {
            return Ok(verdicts::malformed(format!("call {call} needs an answer that is not there"), call));
        };
        let standards = truth_of(&request).outputs()?;
        found.push(verdicts::accurate_where_possible(&standards, answers, call));
    }
    Ok(verdicts::judged(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn stretches_follow_one_another_through_all_tokens() {
        for tokens in [3, 4, 17, 40, 95, 96, 101, 2048] {
            let all = stretches(&case(&format!("simple_gla(T={tokens})")));
            assert!(all[0].start == 0 && all[STRETCHES - 1].end == tokens);
            assert!(all.windows(2).all(|w| w[0].end == w[1].start) && all.iter().all(|r| !r.is_empty()), "{all:?}");
            let reversed = stretches(&case(&format!("simple_gla(T={tokens},reverse=true)")));
            assert!(reversed.into_iter().rev().eq(all));
        }
        let borders = |tokens: usize| stretches(&case(&format!("simple_gla(T={tokens})"))).into_iter().map(|r| r.end);
        assert!(borders(95).eq([31, 63, 95]) && borders(101).eq([32, 64, 101]), "in a grain where there are enough");
    }
}
