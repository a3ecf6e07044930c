//! The call that a bench repeats, with its inputs drawn.
//!
//! Nobody compares what large calls answer, so their inputs need not be the oracle's: rows and tokens beyond a few
//! repeat what was drawn for the first. Small ones are drawn as everywhere, because they are judged.

use rayon::prelude::*;
use reference::spec::{Dim, Domain, Port};
use reference::tensor::{DType, Tensor, Tensors};

use crate::candidate::{BenchRequest, Fill, Mode, Reply, Request};
use crate::case::Case;
use crate::sample::{self, Profile};

/// Tokens that are drawn, of one row.
const TOKENS: usize = 1024;

/// The last call; kept, because candidates take turns at the same one and both passes have the same inputs.
#[derive(Debug, Default)]
pub(crate) struct Drawn(Option<(Case, Request)>);

impl Drawn {
    /// The call for `request`.
    ///
    /// # Errors
    /// An unknown profile.
    pub(crate) fn question(&mut self, request: &BenchRequest) -> Result<&Request, Reply> {
        let case = case(request)?;
        let known = self.0.take().filter(|(known, _)| *known == case);
        let call = match known {
            Some((_, call)) if call.want == request.want => call,
            Some((_, call)) => ask(&case, call.inputs, &request.want),
            None => ask(&case, inputs(&case), &request.want),
        };
        Ok(&self.0.insert((case, call)).1)
    }
}

fn case(request: &BenchRequest) -> Result<Case, Reply> {
    let wrong = || {
        let known = Profile::ALL.map(Profile::name).join(", ");
        Reply::Failed(format!("bench: field profile is {}, expected one of {known}", request.profile))
    };
    let profile = Profile::from_name(&request.profile).ok_or_else(wrong)?;
    Ok(Case { problem: request.problem.clone(), dtype: request.dtype, profile, seed: request.seed })
}

fn ask(case: &Case, inputs: Tensors, want: &[String]) -> Request {
    let gradients = want.iter().any(|w| case.problem.spec.output(w).is_none());
    let cotangents = if gradients { wanted(cotangents(case), want) } else { Tensors::new() };
    let (problem, dtype, want) = (case.problem.clone(), case.dtype, want.to_vec());
    Request { problem, dtype, inputs, cotangents, want, fill: Fill::Any, mode: Mode::Any }
}

/// The cotangents of the outputs that are wanted.
pub(super) fn wanted(mut cotangents: Tensors, want: &[String]) -> Tensors {
    cotangents.retain(|name, _| want.iter().any(|w| name.strip_prefix("d_") == Some(w)));
    cotangents
}

fn inputs(case: &Case) -> Tensors {
    let short = short(case);
    let draw = |port: &Port| {
        let drawn = match repeats(port) {
            true => repeated(&sample::input(&short, port), &case.problem.shape(port), &short.problem.shape(port)),
            false => sample::input(case, port),
        };
        (port.name.to_owned(), drawn)
    };
    case.problem.inputs().map(draw).collect()
}

fn cotangents(case: &Case) -> Tensors {
    let short = short(case);
    let mut drawn = sample::cotangents(&short);
    for port in case.problem.outputs() {
        if let Some(tensor) = drawn.get_mut(&format!("d_{}", port.name)) {
            *tensor = repeated(tensor, &case.problem.shape(port), &short.problem.shape(port));
        }
    }
    drawn
}

/// The case whose numbers are drawn: itself where it is small.
fn short(case: &Case) -> Case {
    let mut short = case.clone();
    let tokens = case.problem.size(Dim::T);
    if case.problem.size(Dim::B) <= 1 && tokens <= TOKENS {
        return short;
    }
    short.problem.sequences = None;
    for (dim, extent) in &mut short.problem.sizes {
        match dim {
            Dim::B | Dim::N => *extent = (*extent).min(1),
            Dim::T => *extent = tokens.min(TOKENS),
            _ => {}
        }
    }
    short
}

/// Whether a port's numbers may come again: not where they say which tokens belong together.
fn repeats(port: &Port) -> bool {
    !matches!(port.domain, Domain::Blocks(_) | Domain::Symbols(_) | Domain::Mask)
}

/// A tensor of this shape that repeats one of `drawn`'s along its first two axes, where those differ.
fn repeated(drawn: &Tensor, shape: &[usize], from: &[usize]) -> Tensor {
    if shape == from {
        return drawn.clone();
    }
    let dtype: DType = drawn.dtype();
    let inner = |shape: &[usize]| shape.iter().skip(1).product::<usize>() * dtype.size();
    let (row, drawn_row) = (inner(shape), inner(from).max(1));
    let mut bytes = vec![0; shape.iter().product::<usize>() * dtype.size()];
    if row > 0 {
        let fill = |row: &mut [u8]| {
            row.chunks_mut(drawn_row).for_each(|part| part.copy_from_slice(&drawn.bytes()[..part.len()]));
        };
        bytes.par_chunks_mut(row).for_each(fill);
    }
    Tensor::from_bytes(dtype, shape, bytes).expect("as many bytes as the shape has")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str, want: &[&str]) -> BenchRequest {
        let case: Case = text.parse().expect("a case");
        BenchRequest {
            problem: case.problem,
            dtype: case.dtype,
            want: want.iter().map(|&w| w.to_owned()).collect(),
            iterations: 1,
            profile: case.profile.name().to_owned(),
            seed: case.seed,
        }
    }

    #[test]
    fn what_is_judged_is_drawn_as_everywhere() {
        let request = request("gla(B=1,T=133,H=2,K=8,V=8,dtype=bf16)", &["o", "d_q"]);
        let case = case(&request).expect("a profile");
        let mut drawn = Drawn::default();
        let call = drawn.question(&request).expect("a call");
        assert_eq!(call.inputs, sample::inputs(&case));
        assert_eq!(call.cotangents.get("d_o"), sample::cotangents(&case).get("d_o"));
    }

    #[test]
    fn what_is_large_repeats_its_first_tokens() {
        for text in ["gla(B=2,T=1500,H=1,K=8,V=4,dtype=bf16)", "gla(B=1,T=1500,H=1,K=8,V=4,seqs=700+800)"] {
            let request = request(text, &["o", "ht", "d_q"]);
            let mut drawn = Drawn::default();
            let call = drawn.question(&request).expect("a call");
            let problem = &request.problem;
            for port in problem.inputs() {
                assert_eq!(call.inputs[port.name].shape(), problem.shape(port), "{text} {}", port.name);
            }
            let q = call.inputs["q"].to_array();
            let (first, again) = (&q.index_axis(ndarray::Axis(1), 3), q.index_axis(ndarray::Axis(1), TOKENS + 3));
            assert_eq!(first.index_axis(ndarray::Axis(0), 0), again.index_axis(ndarray::Axis(0), 0));
            assert_eq!(call.cotangents["d_ht"].shape(), problem.shape(problem.spec.output("ht").expect("a state")));
        }
    }
}
