//! Gradients are as close to the truth as the declared precision allows, each by itself.
//!
//! Cotangents are random on every output. Besides, a case asks with a part of them, as its seed says, what is missing
//! being zero: with those of the tokens' outputs alone, with those of the final states alone, or with those of one
//! chunk, one head, the first tokens, the last tokens, or the tokens on both sides of chunk borders, where a gradient
//! that is right on the whole may owe it to others. Not final states in `f16`, whose range ends where gradients are
//! that have decayed from them over many tokens. Gradients by which nobody can be judged with a part are left out of it:
//! the whole has judged them. With a part the outputs are asked for in the same call: a kernel that makes both may leave
//! for the gradients what one that makes them alone does not. At last one gradient is asked for without the others, as
//! for weights that are frozen.

use std::ops::Range;

use ndarray::Axis;
use reference::problem::Problem;
use reference::rounded::CHUNK;
use reference::spec::{Dim, Level, OpSpec};
use reference::tensor::{DType, Tensor, Tensors};
use reports::verdict::Verdict;

use super::isolation::{Keep, place};
use super::{Call, Check, anyone, cut, verdicts};
use crate::case::Case;
use crate::truth::{Standards, Truth};

pub(super) static CHECK: Check = Check {
    name: "backward",
    summary: "every gradient, by itself, is as close to the exact one as the declared precision allows",
    applies: |case| case.problem.differentiable().next().is_some() && super::has_tokens(case),
    needs: anyone,
    plan: |case, truth| {
        let whole = |cotangents| Call::backward(&case.problem, &truth.inputs, cotangents);
        let with_outputs = |cotangents| {
            let call = whole(cotangents);
            Call { want: [super::outputs(&case.problem), call.want].concat(), ..call }
        };
        let variants = variants(case, truth);
        let alone = alone(case).map(|name| Call { want: vec![name], ..whole(&truth.cotangents) });
        let parts = variants.iter().skip(1).map(with_outputs);
        variants.iter().take(1).map(whole).chain(parts).chain(alone).collect()
    },
    judge: |trial| {
        let mut found = Vec::new();
        let variants = variants(trial.case, trial.truth);
        for (call, cotangents) in variants.iter().enumerate() {
            let standards = trial.truth.gradients(cotangents)?;
            found.push(match call {
                0 => verdicts::accurate(&standards, &trial.answers[call], call),
                _ => {
                    let mut told = told(trial.case, &standards, cotangents);
                    told.extend(trial.truth.outputs()?.iter().map(|(name, s)| (name.clone(), s.clone())));
                    judged(&told, &trial.answers[call], call)
                }
            });
        }
        if let (Some(name), Some(answers)) = (alone(trial.case), trial.answers.get(variants.len())) {
            let standards = trial.truth.gradients(&trial.truth.cotangents)?;
            let own = standards.get(&name).map(|s| (name, s.clone())).into_iter().collect();
            found.push(judged(&own, answers, variants.len()));
        }
        Ok(verdicts::worst(found))
    },
};

/// The standards by which a part is judged: from final states alone nothing reaches an initial state but products of
/// decays, of which a rounded run knows neither how they are made nor that all of a state shares their error.
fn told(case: &Case, standards: &Standards, cotangents: &Tensors) -> Standards {
    let last = |name: &String| case.problem.states().any(|s| name.strip_prefix("d_") == Some(s.last));
    let initial = |name: &str| case.problem.states().any(|s| name.strip_prefix("d_") == Some(s.initial));
    let from_states = cotangents.keys().all(last);
    standards.iter().filter(|(n, _)| !(from_states && initial(n))).map(|(n, s)| (n.clone(), s.clone())).collect()
}

fn judged(standards: &Standards, answers: &Tensors, call: usize) -> Verdict {
    verdicts::accurate_where_possible(standards, answers, call).unwrap_or_else(verdicts::pass)
}

/// The gradient that is asked for by itself, where there are several. What is built from ops hands all of them on.
fn alone(case: &Case) -> Option<String> {
    let all = super::gradients(&case.problem);
    let several = all.len() > 1 && case.problem.spec.level <= Level::Module;
    several.then(|| all[case.seed as usize % all.len()].clone())
}

/// The cotangents that a case asks with: all of them, then a part. Which part has nothing to do with the type, which
/// follows from the seed modulo 3.
fn variants(case: &Case, truth: &Truth) -> Vec<Tensors> {
    let mut variants = vec![truth.cotangents.clone()];
    let per_token = |name: &str| {
        let port = name.strip_prefix("d_").and_then(|o| case.problem.spec.output(o));
        port.is_some_and(OpSpec::per_token)
    };
    let only = |wanted: bool| -> Tensors {
        truth.cotangents.iter().filter(|(n, _)| per_token(n) == wanted).map(|(n, t)| (n.clone(), t.clone())).collect()
    };
    let part = match case.seed / 3 % 3 {
        0 => structured(case, only(true)),
        1 => only(true),
        _ if case.dtype == DType::F16 => Tensors::new(),
        _ => only(false),
    };
    if !part.is_empty() && part != truth.cotangents {
        variants.push(part);
    }
    variants
}

/// The cotangents of some tokens, or of one head; nothing where that would be all of them.
fn structured(case: &Case, cotangents: Tensors) -> Tensors {
    let (problem, kind) = (&case.problem, case.seed % KINDS);
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::check::tests::{case, tensor};

    #[test]
    fn parts_of_the_cotangents_lie_within_their_sequence() {
        for span in [3..4, 0..17, 5..200, 64..128] {
            for kind in 1..KINDS {
                let parts = tokens(kind, span.clone());
                assert!(!parts.is_empty(), "{kind} of {span:?}");
                assert!(parts.iter().all(|r| span.start <= r.start && r.end <= span.end && !r.is_empty()), "{parts:?}");
            }
        }
        let first = |kind, span| tokens(kind, span).into_iter().next();
        assert_eq!((first(1, 5..200), first(2, 5..200)), (Some(5..6), Some(199..200)));
        assert_eq!(tokens(3, 5..200), [68..70, 132..134, 196..198]);
        assert_eq!((first(4, 0..130), first(4, 0..64)), (Some(64..128), Some(32..48)));
        assert_eq!(tokens(1, 7..7), Vec::<Range<usize>>::new());
    }

    #[test]
    fn one_gradient_of_several_is_asked_for_alone() {
        let alone = |text: &str| alone(&case(text));
        assert_eq!(alone("hgrn(seed=5)").as_deref(), Some("d_h0"));
        assert_eq!((alone("softplus(seed=5)"), alone("gla_layer(seed=5)")), (None, None));
    }

    #[test]
    fn a_part_is_one_head_or_row_or_tokens_of_each_sequence() {
        let left = |text: &str| -> String {
            let case = case(text);
            let ones = tensor(DType::F32, &case.problem.shape(&case.problem.spec.outputs[0]), &[1.0; 12]);
            let part = structured(&case, Tensors::from([("d_o".to_owned(), ones)]));
            part.values().flat_map(Tensor::values).map(|x| if x > 0.0 { 'x' } else { '.' }).collect()
        };
        // rows, then tokens, then heads
        for (text, expected) in [
            ("simple_gla(B=1,T=6,H=2,V=1,seed=0)", "x.x.x.x.x.x."),
            ("simple_gla(B=1,T=6,H=2,V=1,seed=5)", ".x.x.x.x.x.x"),
            ("simple_gla(B=2,T=3,H=2,V=1,seed=5)", ".x.x.x.x.x.x"),
            ("simple_gla(B=2,T=6,H=1,V=1,seed=5)", "......xxxxxx"),
            ("simple_gla(B=2,T=3,H=2,V=1,seed=6)", "xx....xx...."),
            ("simple_gla(B=2,T=3,H=2,V=1,seed=7)", "....xx....xx"),
            ("simple_gla(B=1,H=2,V=1,seqs=2+1+3,seed=1)", "xx..xxxx...."),
            ("simple_gla(B=2,T=3,H=2,V=1,seed=9)", ""),
        ] {
            assert_eq!(left(text), expected, "{text}");
        }
    }

    #[test]
    fn every_type_meets_every_part() {
        let mut met = BTreeSet::new();
        for seed in 0..45 {
            let dtype = [DType::Bf16, DType::F32, DType::F16][seed as usize % 3];
            let case = Case { seed, dtype, ..case("simple_gla(B=2,T=150,K=4,V=4)") };
            let truth = Truth::of(&case);
            let variants = variants(&case, &truth);
            let Some(part) = variants.get(1) else {
                assert_eq!(case.dtype, DType::F16, "{case}");
                continue;
            };
            let (tokens, states) = (part.contains_key("d_o"), part.contains_key("d_ht"));
            assert!(tokens != states, "{case}");
            let zeros = part.values().next().map_or(0, |t| t.values().filter(|x| x.to_bits() << 1 == 0).count());
            let kind = if zeros > 0 { seed % KINDS } else { KINDS };
            assert_eq!(zeros > 0, seed / 3 % 3 == 0, "{case}");
            met.insert((case.dtype.name(), states, kind));
        }
        // three types with each kind of a part and with all tokens, two with final states
        assert_eq!(met.len() as u64, 3 * (KINDS + 1) + 2, "{met:?}");
    }

    #[test]
    fn from_final_states_alone_nobody_is_told_about_initial_ones() {
        let case = case("simple_gla(B=1,T=2,H=1,K=1,V=1)");
        let truth = Truth::of(&case);
        let standards = truth.gradients(&truth.cotangents).expect("the oracle answers");
        let of = |names: &[&str]| {
            let cotangents = names.iter().map(|n| ((*n).to_owned(), truth.cotangents[*n].clone())).collect();
            told(&case, &standards, &cotangents).into_keys().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&["d_o", "d_ht"]), "d_g d_h0 d_k d_q d_v");
        assert_eq!((of(&["d_o"]), of(&["d_ht"])), ("d_g d_h0 d_k d_q d_v".into(), "d_g d_k d_q d_v".into()));
    }
}
