//! A captured graph answers as calls do, also when its inputs have changed since.
//!
//! What a graph remembers of the call that it was captured from, a pointer, a length, a number that the host had looked
//! at, is wrong the second time; so is what a call leaves behind and the next one finds. Asked with outputs and gradients
//! in one call, of some cases.

use reference::spec::Level;
use reference::tensor::Tensors;

use super::{Call, Check, has_tokens, verdicts};
use crate::candidate::Mode;
use crate::case::Case;
use crate::sample;
use crate::truth::Truth;

const PROMISE: &str = "a captured graph gives the bits of a call, whatever its inputs were when it was captured";

/// Cases that are asked, one of each type: capturing takes its time.
const SEEDS: std::ops::RangeInclusive<u64> = 60..=62;

pub(super) static CHECK: Check = Check {
    name: "graph",
    summary: "launched again with other inputs and then the first ones, a captured graph gives the bits of calls",
    applies: |case| case.problem.spec.level <= Level::Module && SEEDS.contains(&case.seed) && has_tokens(case),
    needs: |abilities| match abilities.graph {
        true => Ok(()),
        false => Err("the candidate captures no graphs (feature graph)"),
    },
    plan: |case, truth| {
        let plain = questions(case, truth).map(|(inputs, cotangents)| Call::both(&case.problem, &inputs, &cotangents));
        let captured = ORDER.map(|question| Call { mode: Mode::Graph, ..plain[question].clone() });
        plain.into_iter().chain(captured).collect()
    },
    judge: |trial| {
        let captured = ORDER.into_iter().enumerate();
        let found = captured.into_iter().find_map(|(i, question)| {
            let call = QUESTIONS + i;
            verdicts::all_same(&trial.answers[question], &trial.answers[call], PROMISE, call)
        });
        Ok(found.unwrap_or_else(verdicts::pass))
    },
};

const QUESTIONS: usize = 2;

/// Which question each launch is about.
const ORDER: [usize; 3] = [0, 1, 0];

/// The case's own numbers, and others.
fn questions(case: &Case, truth: &Truth) -> [(Tensors, Tensors); QUESTIONS] {
    let other = Case { seed: case.seed + OTHER, ..case.clone() };
    let own = (truth.inputs.clone(), truth.cotangents.clone());
    [own, (sample::inputs(&other), sample::cotangents(&other))]
}

/// Seeds of no suite.
const OTHER: u64 = 1 << 32;
