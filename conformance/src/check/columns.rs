//! Columns of values do not mix: other values in some columns leave what comes of the others as it is, to the bit.

use std::collections::BTreeSet;
use std::ops::Range;

use reference::error::Error;
use reference::spec::{Dim, Port};
use reference::tensor::{Arrays, DType, Tensor, Tensors};
use reports::verdict::Verdict;

use super::{Call, Check, Trial, anyone, cut, verdicts};
use crate::case::Case;
use crate::probe::{Memo, Question, small};
use crate::sample::{self, Profile};
use crate::truth::port;

const PROMISE: &str = "other columns of the values do not matter";

pub(super) static CHECK: Check = Check {
    name: "columns",
    summary: "other values in some columns leave the answers in the other columns as they are, to the bit",
    applies: |case| super::has_tokens(case) && case.problem.size(Dim::V) > 1 && !apart(case).is_empty(),
    needs: anyone,
    plan: |case, truth| {
        let (inputs, cotangents) = (replaced(case, &truth.inputs), replaced(case, &truth.cotangents));
        let both = |i: &Tensors, c: &Tensors| [Call::forward(&case.problem, i), Call::backward(&case.problem, i, c)];
        let before = both(&truth.inputs, &truth.cotangents);
        before.into_iter().chain(both(&inputs, &cotangents)).collect()
    },
    judge,
};

static KNOWN: Memo<BTreeSet<String>> = Memo::new();

/// Outputs and gradients whose columns the op itself keeps apart; none when no output is such.
fn apart(case: &Case) -> BTreeSet<String> {
    let Some(small) = small(case, Profile::Typical, 1) else { return BTreeSet::new() };
    KNOWN.of(&small, |small| {
        let question = Question::of(small);
        let change = |arrays: &Arrays| -> Arrays {
            let tensors = arrays.iter().map(|(n, a)| (n.clone(), Tensor::from_array(a, DType::F64))).collect();
            replaced(small, &tensors).into_iter().map(|(n, t)| (n, t.to_array())).collect()
        };
        let problem = small.problem.clone();
        let changed = Question { problem, inputs: change(&question.inputs), cotangents: change(&question.cotangents) };
        let (Ok(before), Ok(after)) = (question.answer(), changed.answer()) else { return BTreeSet::new() };
        let keeps = |name: &&String| {
            let kept = |arrays: &Arrays| columns(small, name, &Tensor::from_array(&arrays[*name], DType::F64));
            kept(&before).is_some() && kept(&before) == kept(&after)
        };
        let names: BTreeSet<String> = before.keys().filter(keeps).cloned().collect();
        if names.iter().any(|n| small.problem.spec.output(n).is_some()) { names } else { BTreeSet::new() }
    })
}

/// The columns that stay: one half or the other.
fn kept(case: &Case) -> Range<usize> {
    let width = case.problem.size(Dim::V);
    if case.seed.is_multiple_of(2) { 0..width / 2 } else { width / 2..width }
}

fn axis(case: &Case, name: &str) -> Option<usize> {
    let output = || name.strip_prefix("d_").and_then(|o| case.problem.spec.output(o));
    let found: &Port = case.problem.spec.input(name).or_else(output).or_else(|| port(&case.problem, name))?;
    cut::axis(found, Dim::V)
}

fn columns(case: &Case, name: &str, tensor: &Tensor) -> Option<Tensor> {
    Some(tensor.narrow(axis(case, name)?, kept(case)))
}

fn replaced(case: &Case, tensors: &Tensors) -> Tensors {
    let swap = |(name, tensor): (&String, &Tensor)| {
        let Some(axis) = axis(case, name) else { return (name.clone(), tensor.clone()) };
        let (other, kept) = (sample::others(case, name, tensor), kept(case));
        let parts = [
            other.narrow(axis, 0..kept.start),
            tensor.narrow(axis, kept.clone()),
            other.narrow(axis, kept.end..tensor.shape()[axis]),
        ];
        let joined = Tensor::concat(axis, &parts.iter().collect::<Vec<_>>());
        (name.clone(), joined.unwrap_or(other))
    };
    tensors.iter().map(swap).collect()
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [a, b, c, d] = trial.answers else { return Ok(verdicts::malformed("four answers".into(), 0)) };
    let names = apart(trial.case);
    let pick = |tensors: &Tensors| -> Tensors {
        let own = |(name, t): (&String, &Tensor)| Some((name.clone(), columns(trial.case, name, t)?));
        tensors.iter().filter(|(name, _)| names.contains(*name)).filter_map(own).collect()
    };
    let found = [(a, c, 2), (b, d, 3)]
        .into_iter()
        .find_map(|(before, after, call)| verdicts::all_same(&pick(before), &pick(after), PROMISE, call));
    Ok(found.unwrap_or_else(verdicts::pass))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn one_half_of_the_columns_stays() {
        let kept = |text: &str| kept(&case(text));
        assert_eq!((kept("simple_gla(V=5)"), kept("simple_gla(V=5,seed=1)")), (0..2, 2..5));
    }
}
