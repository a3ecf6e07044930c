//! Gradients are as close to the truth as the declared precision allows, each by itself.
//!
//! Cotangents are random on every output. Besides, a case asks with a part of them, as its seed says, what is missing
//! being zero: with those of the tokens' outputs alone, with those of the final states alone, or with those of one
//! chunk, one head, the first tokens, the last tokens, or the tokens on both sides of chunk borders, where a gradient
//! that is right on the whole may owe it to others. Not final states in `f16`, whose range ends where gradients are
//! that have decayed from them over many tokens. Gradients by which nobody can be judged with one of the latter parts
//! are left out of it: the whole has judged them.

use std::ops::Range;

use ndarray::Axis;
use reference::problem::Problem;
use reference::rounded::CHUNK;
use reference::spec::{Dim, OpSpec};
use reference::tensor::{DType, Tensor, Tensors};

use super::isolation::{Keep, place};
use super::{Call, Check, anyone, cut, verdicts};
use crate::case::Case;
use crate::truth::Truth;

pub(super) static CHECK: Check = Check {
    name: "backward",
    summary: "every gradient, by itself, is as close to the exact one as the declared precision allows",
    applies: |case| case.problem.differentiable().next().is_some() && super::has_tokens(case),
    needs: anyone,
    plan: |case, truth| variants(case, truth).iter().map(|c| Call::backward(&case.problem, &truth.inputs, c)).collect(),
    judge: |trial| {
        let mut found = Vec::new();
        for (call, cotangents) in variants(trial.case, trial.truth).iter().enumerate() {
            let standards = trial.truth.gradients(cotangents)?;
            found.push(match call > 0 && is_structured(trial.case) {
                true => verdicts::accurate_where_possible(&standards, &trial.answers[call], call)
                    .unwrap_or_else(verdicts::pass),
                false => verdicts::accurate(&standards, &trial.answers[call], call),
            });
        }
        Ok(verdicts::worst(found))
    },
};

fn variants(case: &Case, truth: &Truth) -> Vec<Tensors> {
    let mut variants = vec![truth.cotangents.clone()];
    let per_token = |name: &str| {
        let port = name.strip_prefix("d_").and_then(|o| case.problem.spec.output(o));
        port.is_some_and(OpSpec::per_token)
    };
    let only = |wanted: bool| -> Tensors {
        truth.cotangents.iter().filter(|(n, _)| per_token(n) == wanted).map(|(n, t)| (n.clone(), t.clone())).collect()
    };
    let extra = match case.seed % 3 {
        1 => only(true),
        2 if case.dtype != DType::F16 => only(false),
        0 => structured(case, only(true)),
        _ => Tensors::new(),
    };
    if !extra.is_empty() && (is_structured(case) || extra.len() < truth.cotangents.len()) {
        variants.push(extra);
    }
    variants
}

const fn is_structured(case: &Case) -> bool {
    case.seed.is_multiple_of(3)
}

/// The cotangents of some tokens, or of one head; nothing where that would be all of them.
fn structured(case: &Case, cotangents: Tensors) -> Tensors {
    let (problem, kind) = (&case.problem, case.seed / 3 % KINDS);
    let keep = [Dim::H, Dim::N].into_iter().find(|&axis| problem.size(axis) > 1);
    let part = |(name, tensor): (String, Tensor)| {
        let port = problem.spec.output(name.strip_prefix("d_")?)?;
        let (axis, ranges) = match (kind, keep) {
            (0, Some(axis)) => {
                let (axis, range) =
                    place(problem, port, Keep { axis, index: case.seed as usize % problem.size(axis) })?;
                (axis, vec![range])
            }
            _ => (cut::axis(port, Dim::T)?, spans(problem).into_iter().flat_map(|span| tokens(kind, span)).collect()),
        };
        Some((name, only(&tensor, axis, &ranges)))
    };
    let parts: Tensors = cotangents.iter().map(|(n, t)| (n.clone(), t.clone())).filter_map(part).collect();
    if parts == cotangents { Tensors::new() } else { parts }
}

/// One head, first tokens, last tokens, borders, one chunk.
const KINDS: u64 = 5;

/// Tokens of a sequence that have a cotangent.
fn tokens(kind: u64, span: Range<usize>) -> Vec<Range<usize>> {
    let (start, end) = (span.start, span.end);
    let one = |t: usize| t..t + 1;
    match kind {
        _ if span.is_empty() => Vec::new(),
        1 => vec![one(start)],
        2 => vec![one(end - 1)],
        3 if span.len() > CHUNK => (start + CHUNK..end).step_by(CHUNK).map(|t| t - 1..t + 1).collect(),
        _ => {
            let size = if span.len() > CHUNK { CHUNK } else { CHUNK / 4 };
            let middle = start + span.len() / 2 / size * size;
            std::iter::once(middle..(middle + size).min(end)).collect()
        }
    }
}

/// Where sequences lie along the axis of tokens; rows lie beside one another.
fn spans(problem: &Problem) -> Vec<Range<usize>> {
    match &problem.sequences {
        Some(_) => problem.offsets().windows(2).map(|w| w[0]..w[1]).collect(),
        None => std::iter::once(0..problem.size(Dim::T)).collect(),
    }
}

/// The tensor with zeros outside of these places.
fn only(tensor: &Tensor, axis: usize, kept: &[Range<usize>]) -> Tensor {
    let mut values = tensor.to_array();
    let slices = values.axis_iter_mut(Axis(axis)).enumerate();
    slices.filter(|(i, _)| !kept.iter().any(|r| r.contains(i))).for_each(|(_, mut slice)| slice.fill(0.0));
    Tensor::from_array(&values, tensor.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_cotangents_lie_within_their_sequence() {
        for span in [3..4, 0..17, 5..200, 64..128] {
            for kind in 1..KINDS {
                let parts = tokens(kind, span.clone());
                assert!(!parts.is_empty(), "{kind} of {span:?}");
                assert!(parts.iter().all(|r| span.start <= r.start && r.end <= span.end && !r.is_empty()), "{parts:?}");
            }
        }
        assert_eq!(tokens(3, 5..200), [68..70, 132..134, 196..198]);
        assert_eq!(tokens(4, 0..130).first(), Some(&(64..128)));
        assert_eq!(tokens(1, 7..7), Vec::<Range<usize>>::new());
    }

    #[test]
    fn one_case_in_three_has_a_part_and_it_is_one() {
        for seed in (0..15).map(|i| 3 * i) {
            let case: Case = format!("simple_gla(B=2,T=150,K=4,V=4,seed={seed})").parse().expect("valid");
            let truth = Truth::of(&case);
            let [whole, part] = variants(&case, &truth).try_into().expect("two variants");
            let zeros = part["d_o"].values().filter(|x| x.to_bits() << 1 == 0).count();
            assert!(0 < zeros && zeros < part["d_o"].len() && part["d_o"] != whole["d_o"], "{case}");
            assert!(!part.contains_key("d_ht"), "{case}");
        }
    }
}
