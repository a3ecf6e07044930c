//! In which chunk a failure begins.
//!
//! The state before each chunk is what the candidate itself says of the tokens before it, and the chunk is judged from
//! there: an error that was made earlier does not count, and one that decays before the sequence ends does.

use std::ops::Range;

use ndarray::Axis;
use reference::rounded::CHUNK;
use reference::spec::{Dim, OpSpec};
use reference::tensor::{Tensor, Tensors};

use crate::candidate::{Candidate, Reply, Request};
use crate::case::Case;
use crate::check::{resumable, stretch};
use crate::examine::truth_of;
use crate::truth::Truth;

/// Chunks that are looked at.
const MOST: usize = 32;

/// The first chunk that is wrong, in a line; nothing where there are no states to cut at, or no chunk is.
pub(super) fn first_wrong(candidate: &mut dyn Candidate, case: &Case, truth: &Truth) -> Option<String> {
    let tokens = case.problem.size(Dim::T);
    if !resumable(case) || case.problem.reversed() || tokens.div_ceil(CHUNK) > MOST {
        return None;
    }
    let whole = answers(candidate, &stretch(case, truth, &(0..tokens), &Tensors::new())?)?;
    let mut before = Tensors::new();
    for start in (0..tokens).step_by(CHUNK) {
        let chunk = start..(start + CHUNK).min(tokens);
        let after = match chunk.end == tokens {
            true => whole.clone(),
            false => answers(candidate, &stretch(case, truth, &(0..chunk.end), &Tensors::new())?)?,
        };
        let wrong = wrong(&stretch(case, truth, &chunk, &before)?, &whole, &after, &chunk);
        if !wrong.is_empty() {
            let wrong = wrong.join(", ");
            return Some(format!(
                "first wrong from the candidate's own state before it: tokens {} to {} of {tokens} ({wrong})",
                chunk.start,
                chunk.end - 1
            ));
        }
        before = after;
    }
    None
}

fn answers(candidate: &mut dyn Candidate, request: &Request) -> Option<Tensors> {
    match candidate.call(request) {
        Reply::Done { tensors, .. } => Some(tensors),
        _ => None,
    }
}

/// Outputs of a chunk that are wrong: of tokens in the answer to the whole, states in that to the tokens until its end.
fn wrong(request: &Request, whole: &Tensors, after: &Tensors, chunk: &Range<usize>) -> Vec<String> {
    let Ok(standards) = truth_of(request).outputs() else { return Vec::new() };
    let fails = |(name, standard): (&String, &crate::measure::Standard)| {
        let port = request.problem.spec.output(name)?;
        let answer = match port.dims.iter().position(|&d| d == Dim::T).filter(|_| OpSpec::per_token(port)) {
            Some(axis) => narrow(whole.get(name)?, axis, chunk)?,
            None => after.get(name)?.clone(),
        };
        (standard.doubt.is_none() && standard.judge(&answer).is_err()).then(|| name.clone())
    };
    standards.iter().filter_map(fails).collect()
}

fn narrow(tensor: &Tensor, axis: usize, range: &Range<usize>) -> Option<Tensor> {
    let holds = tensor.shape().get(axis).is_some_and(|&n| range.end <= n);
    let part = || tensor.to_array().slice_axis(Axis(axis), (range.start..range.end).into()).to_owned();
    holds.then(|| Tensor::from_array(&part(), tensor.dtype()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::around::Around;

    /// The oracle's own code, wrong in `port` by 5 % after some tokens of long calls.
    fn wrong(port: &'static str, after: usize) -> impl Candidate {
        Around::new(move |oracle, request| {
            let Reply::Done { mut tensors, ran } = oracle.call(request) else { panic!("the oracle answers") };
            let long = request.problem.size(Dim::T) > after;
            let Some(tensor) = tensors.get_mut(port).filter(|_| long) else { return Reply::Done { tensors, ran } };
            let mut values = tensor.to_array();
            match port {
                "o" => values.slice_axis_mut(Axis(1), (after..).into()).mapv_inplace(|x| 1.05 * x),
                _ => values.mapv_inplace(|x| 1.05 * x),
            }
            *tensor = Tensor::from_array(&values, tensor.dtype());
            Reply::Done { tensors, ran }
        })
    }

    #[test]
    fn a_fault_is_found_in_its_chunk() {
        let case: Case = "simple_gla(B=1,T=200,H=1,K=8,V=8,absent=g_gamma)".parse().expect("valid");
        let truth = Truth::of(&case);
        let said = |port, after| first_wrong(&mut wrong(port, after), &case, &truth);
        let outputs = said("o", 130).expect("found");
        assert!(outputs.contains("tokens 128 to 191 of 200 (o)"), "{outputs}");
        let state = said("ht", 64).expect("found");
        assert!(state.contains("tokens 64 to 127 of 200 (ht)"), "{state}");
        assert_eq!(said("o", 1000), None);
    }
}
