//! Slices that the spec declares independent do not influence one another: with other finite values, and with NaN, in
//! every other row, sequence or head, outputs and gradients of one slice keep their bits.

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::{Dim, Port};
use reference::tensor::{DType, Tensor, Tensors};
use reports::verdict::Verdict;

use super::{Call, Check, Trial, anyone, cut, verdicts};
use crate::case::Case;
use crate::sample;
use crate::truth::{Truth, port};

const PROMISE: &str = "other rows, sequences and heads do not matter";

pub(super) static CHECK: Check = Check {
    name: "isolation",
    summary: "other values, and NaN, in other rows, sequences and heads leave a slice as it is, to the bit",
    applies: |case| super::has_tokens(case) && !kept(case).is_empty(),
    needs: anyone,
    plan: |case, truth| {
        let mut calls = both(case, &truth.inputs, &truth.cotangents);
        for keep in kept(case) {
            for fill in [Other::Finite, Other::NaN] {
                let inputs = replaced(case, &truth.inputs, keep, fill, truth);
                let cotangents = replaced(case, &truth.cotangents, keep, fill, truth);
                calls.extend(both(case, &inputs, &cotangents));
            }
        }
        calls
    },
    judge,
};

/// What to put into the other slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Finite,
    NaN,
}

/// One slice along one independent axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    pub(super) axis: Dim,
    pub(super) index: usize,
}

fn both(case: &Case, inputs: &Tensors, cotangents: &Tensors) -> Vec<Call> {
    vec![Call::forward(&case.problem, inputs), Call::backward(&case.problem, inputs, cotangents)]
}

/// One slice for each independent axis that has several; the seed says which. Heads that share a key head are kept by
/// whole groups.
fn kept(case: &Case) -> Vec<Keep> {
    let p = &case.problem;
    let slices = |&axis: &Dim| {
        let counted = match axis {
            Dim::B => Dim::N,
            Dim::HV | Dim::HQ => Dim::H,
            other => other,
        };
        let count = p.size(counted);
        (count > 1).then(|| Keep { axis: counted, index: case.seed as usize % count })
    };
    let with_tokens = |k: &Keep| k.axis != Dim::N || span(p, k.index).1 > 0;
    p.spec.independent.iter().filter_map(slices).filter(with_tokens).collect()
}

/// First token row and number of tokens of a packed sequence; of a row, itself.
fn span(problem: &Problem, n: usize) -> (usize, usize) {
    let offsets = problem.offsets();
    (offsets[n], offsets[n + 1] - offsets[n])
}

/// Where along which axis of a port the slice lies; `None` when the port is shared.
pub(super) fn place(problem: &Problem, port: &Port, keep: Keep) -> Option<(usize, std::ops::Range<usize>)> {
    let one = keep.index..keep.index + 1;
    if keep.axis == Dim::N {
        if let Some(axis) = cut::axis(port, Dim::N) {
            return Some((axis, one));
        }
        return match &problem.sequences {
            None => cut::axis(port, Dim::B).map(|axis| (axis, one)),
            Some(_) => {
                let (start, length) = span(problem, keep.index);
                cut::axis(port, Dim::T).map(|axis| (axis, start..start + length))
            }
        };
    }
    if let Some(axis) = cut::axis(port, keep.axis) {
        return Some((axis, one));
    }
    let heads = Dim::GROUPED.into_iter().find(|d| port.dims.contains(d)).filter(|_| keep.axis == Dim::H)?;
    let group = problem.size(heads) / problem.size(Dim::H).max(1);
    Some((cut::axis(port, heads)?, keep.index * group..(keep.index + 1) * group))
}

fn replaced(case: &Case, tensors: &Tensors, keep: Keep, fill: Other, truth: &Truth) -> Tensors {
    let swap = |(name, tensor): (&String, &Tensor)| {
        let output = || name.strip_prefix("d_").and_then(|o| case.problem.spec.output(o));
        let port = case.problem.spec.input(name).or_else(output);
        let place = port.and_then(|p| place(&case.problem, p, keep));
        let Some((axis, range)) = place else { return (name.clone(), tensor.clone()) };
        let other = match fill {
            // an integer cannot be NaN
            Other::NaN if tensor.dtype() != DType::I64 => Tensor::filled(tensor.dtype(), tensor.shape(), f64::NAN),
            _ => sample::others(case, name, truth.inputs.get(name).unwrap_or(tensor)),
        };
        let parts = [
            other.narrow(axis, 0..range.start),
            tensor.narrow(axis, range.clone()),
            other.narrow(axis, range.end..tensor.shape()[axis]),
        ];
        let joined = Tensor::concat(axis, &parts.iter().collect::<Vec<_>>());
        (name.clone(), joined.unwrap_or(other))
    };
    tensors.iter().map(swap).collect()
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let problem = &trial.case.problem;
    let (base, others) = trial.answers.split_at(2);
    for (i, answers) in others.iter().enumerate() {
        let keep = kept(trial.case)[i / 4];
        for (name, before) in &base[i % 2] {
            let Some((axis, range)) = port(problem, name).and_then(|p| place(problem, p, keep)) else { continue };
            let Some(after) = answers.get(name).filter(|t| t.shape() == before.shape()) else {
                return Ok(verdicts::malformed(format!("{name} is missing or has another shape"), i + 2));
            };
            let (before, after) = (before.narrow(axis, range.clone()), after.narrow(axis, range));
            if let Some(failure) = verdicts::same(name, &before, &after, PROMISE, i + 2) {
                return Ok(failure);
            }
        }
    }
    Ok(verdicts::pass())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::case;

    #[test]
    fn the_seed_says_which_slice_stays() {
        let kept = |text: &str| kept(&case(text)).into_iter().map(|k| (k.axis, k.index)).collect::<Vec<_>>();
        assert_eq!(kept("gated_delta_rule(B=3,H=2,HV=4,seed=5)"), [(Dim::N, 2), (Dim::H, 1)]);
        assert_eq!(kept("gated_delta_rule(B=2,H=1,HV=4,seed=5)"), [(Dim::N, 1)], "one key head is all of them");
        assert_eq!(kept("hgrn(seqs=3+0+2,D=1,seed=1)"), [], "a sequence without tokens has no answers");
        assert_eq!(kept("hgrn(seqs=3+1+2,D=1,seed=1)"), [(Dim::N, 1)]);
    }

    #[test]
    fn a_slice_lies_where_its_port_has_it() {
        let lies = |text: &str, port: &str, axis, index| {
            let problem = case(text).problem;
            let port = problem.spec.input(port).expect("an input");
            place(&problem, port, Keep { axis, index })
        };
        let (rows, packed) = ("gated_delta_rule(B=3,T=4,H=2,HV=6)", "gated_delta_rule(seqs=3+4+2,H=2,HV=6)");
        assert_eq!(lies(rows, "q", Dim::N, 2), Some((0, 2..3)));
        assert_eq!(lies(packed, "q", Dim::N, 2), Some((1, 7..9)), "its tokens");
        assert_eq!(lies(packed, "h0", Dim::N, 2), Some((0, 2..3)));
        assert_eq!(lies(rows, "q", Dim::H, 1), Some((2, 1..2)));
        assert_eq!(lies(rows, "v", Dim::H, 1), Some((2, 3..6)), "the heads that share a key head");
        assert_eq!(lies(rows, "h0", Dim::H, 0), Some((1, 0..3)));
        assert_eq!(lies("gated_delta_rule(softplus_gate=true)", "A_log", Dim::N, 0), None, "shared by all rows");
    }

    #[test]
    fn other_slices_are_nan_where_a_number_can_be() {
        let case = case("nsa(B=2,T=70,seed=1)");
        let truth = Truth::of(&case);
        let keep = Keep { axis: Dim::N, index: 1 };
        let [nan, finite] = [Other::NaN, Other::Finite].map(|fill| replaced(&case, &truth.inputs, keep, fill, &truth));
        let row = |t: &Tensor, n: usize| t.narrow(0, n..n + 1);
        assert!(row(&nan["q"], 0).values().all(f64::is_nan) && row(&finite["q"], 0).values().all(f64::is_finite));
        assert_eq!(row(&nan["q"], 1), row(&truth.inputs["q"], 1));
        assert_eq!(nan["block_indices"], finite["block_indices"], "an integer cannot be NaN");
        assert!(row(&nan["block_indices"], 0).to_i64().iter().any(|&i| i != 0));
    }
}
