//! Heads that share a key head are what they are with a copy of it each.

use std::collections::BTreeSet;

use reference::problem::Problem;
use reference::spec::Dim;
use reference::tensor::{Arrays, DType, Tensor, Tensors};

use super::{Call, Check, anyone, cut, verdicts};
use crate::case::Case;
use crate::probe::{Memo, Question, small};
use crate::sample::Profile;
use crate::truth::Standards;

pub(super) static CHECK: Check = Check {
    name: "grouped",
    summary: "heads that share a key head give the same with a copy of it each",
    applies: |case| super::has_tokens(case) && grouped(&case.problem).is_some() && !kept(case).is_empty(),
    needs: anyone,
    plan: |case, truth| {
        let problem = apart(&case.problem);
        let inputs = repeated(&case.problem, &truth.inputs);
        vec![Call::forward(&problem, &inputs), Call::backward(&problem, &inputs, &truth.cotangents)]
    },
    judge: |trial| {
        let names = kept(trial.case);
        let (outputs, gradients) = (trial.truth.outputs()?, trial.truth.gradients(&trial.truth.cotangents)?);
        let own = |all: &Standards| -> Standards {
            all.iter().filter(|(name, _)| names.contains(*name)).map(|(n, s)| (n.clone(), s.clone())).collect()
        };
        let found = [own(&outputs), own(&gradients)].into_iter().zip(trial.answers).enumerate();
        Ok(verdicts::judged(found.map(|(call, (s, a))| verdicts::accurate_where_possible(&s, a, call))))
    },
};

/// The dimension of heads that share key heads, and how many share one.
fn grouped(problem: &Problem) -> Option<(Dim, usize)> {
    let heads = Dim::GROUPED.into_iter().find(|d| problem.spec.sizes.contains(d))?;
    let each = problem.size(heads) / problem.size(Dim::H).max(1);
    (each > 1).then_some((heads, each))
}

/// The problem with as many key heads as others.
fn apart(problem: &Problem) -> Problem {
    let mut apart = problem.clone();
    if let Some((heads, _)) = grouped(problem) {
        apart.sizes.insert(Dim::H, problem.size(heads));
    }
    apart
}

/// Every input that has key heads, each of them as often as it is shared.
fn repeated(problem: &Problem, inputs: &Tensors) -> Tensors {
    let copies = |(name, tensor): (&String, &Tensor)| {
        let axis = problem.spec.input(name).and_then(|p| cut::axis(p, Dim::H));
        let (Some(axis), Some((_, each))) = (axis, grouped(problem)) else { return (name.clone(), tensor.clone()) };
        let heads = (0..tensor.shape()[axis]).flat_map(|h| std::iter::repeat_n(h, each));
        let parts: Vec<Tensor> = heads.map(|h| tensor.narrow(axis, h..h + 1)).collect();
        let joined = Tensor::concat(axis, &parts.iter().collect::<Vec<_>>());
        (name.clone(), joined.unwrap_or_else(|| tensor.clone()))
    };
    inputs.iter().map(copies).collect()
}

static KNOWN: Memo<BTreeSet<String>> = Memo::new();

/// Outputs and gradients that the op itself gives then; a key head's own gradient is a sum over its copies, which have
/// another shape together.
fn kept(case: &Case) -> BTreeSet<String> {
    let Some(small) = small(case, Profile::Typical, 1) else { return BTreeSet::new() };
    KNOWN.of(&small, |small| {
        let question = Question::of(small);
        let narrow = |arrays: &Arrays| -> Tensors {
            arrays.iter().map(|(n, a)| (n.clone(), Tensor::from_array(a, DType::F64))).collect()
        };
        let wide = repeated(&small.problem, &narrow(&question.inputs));
        let inputs = wide.into_iter().map(|(n, t)| (n, t.to_array())).collect();
        let copied = Question { problem: apart(&small.problem), inputs, cotangents: question.cotangents.clone() };
        if copied.problem.validate().is_err() {
            return BTreeSet::new();
        }
        let (Ok(before), Ok(after)) = (question.answer(), copied.answer()) else { return BTreeSet::new() };
        before.iter().filter(|(name, a)| after.get(*name) == Some(*a)).map(|(name, _)| name.clone()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn what_key_heads_share_has_another_gradient_with_copies() {
        let kept = kept(&case("gated_delta_rule(T=3,H=1,HV=2)")).into_iter().collect::<Vec<_>>();
        assert_eq!(kept.join(" "), "d_beta d_g d_h0 d_v ht o");
    }
}
