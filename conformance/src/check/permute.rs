//! Where a row, a sequence or a head lies does not matter: all of them moved on by one place, answers move along, to
//! the bit. Parameters that these share are left out: their gradients are sums, taken in another order.

use reference::error::Error;
use reference::problem::Problem;
use reference::spec::{Dim, Port};
use reference::tensor::{Arrays, DType, Tensor, Tensors};
use reports::verdict::Verdict;

use super::isolation::{Keep, place};
use super::{Call, Check, Trial, anyone, verdicts};
use crate::case::Case;
use crate::probe::{Memo, Question, small};
use crate::sample::Profile;
use crate::truth::{Truth, port};

const PROMISE: &str = "rows, sequences and heads in another order have the same answers in that order";

pub(super) static CHECK: Check = Check {
    name: "permute",
    summary: "rows, sequences and heads in another order give the same bits in that order, gradients included",
    applies: |case| super::has_tokens(case) && !moved(case).is_empty(),
    needs: anyone,
    plan: |case, truth| {
        let turned = turned(case, truth);
        let both = |c: &Case, inputs: &Tensors, cotangents: &Tensors| {
            [Call::forward(&c.problem, inputs), Call::backward(&c.problem, inputs, cotangents)]
        };
        let before = both(case, &truth.inputs, &truth.cotangents);
        before.into_iter().chain(both(&turned.0, &turned.1, &turned.2)).collect()
    },
    judge,
};

/// Axes along which slices change places.
fn moved(case: &Case) -> Vec<Dim> {
    let several = |dim: &Dim| case.problem.size(*dim) > 1;
    let mut axes: Vec<Dim> = [Dim::N, Dim::H].into_iter().filter(several).collect();
    let heads = case.problem.spec.independent.iter().any(|d| matches!(d, Dim::H | Dim::HV | Dim::HQ));
    if !heads || !equivariant(case, Dim::H) {
        axes.retain(|&d| d != Dim::H);
    }
    if !equivariant(case, Dim::N) {
        axes.retain(|&d| d != Dim::N);
    }
    axes
}

static ROWS: Memo<bool> = Memo::new();
static HEADS: Memo<bool> = Memo::new();

/// Whether the op itself cares for the order: a decay may be a number of its head's.
fn equivariant(case: &Case, axis: Dim) -> bool {
    let Some(small) = small(case, Profile::Typical, 2) else { return false };
    let memo = if axis == Dim::H { &HEADS } else { &ROWS };
    memo.of(&small, |small| {
        let question = Question::of(small);
        let narrow = |arrays: &Arrays| {
            let turn = |(name, a): (&String, &ndarray::ArrayD<f64>)| {
                let tensor = Tensor::from_array(a, DType::F64);
                (name.clone(), rotated(&small.problem, name, &tensor, axis).to_array())
            };
            arrays.iter().map(turn).collect::<Arrays>()
        };
        let problem = along(&small.problem, axis);
        let turned = Question { problem, inputs: narrow(&question.inputs), cotangents: narrow(&question.cotangents) };
        let (Ok(before), Ok(after)) = (question.answer(), turned.answer()) else { return false };
        let compared = |name: &&String| judged(&small.problem, name, &[axis]);
        narrow(&before).iter().filter(|(name, _)| compared(name)).all(|(name, a)| after.get(name) == Some(a))
    })
}

/// Whether every slice has an answer of its own there.
fn judged(problem: &Problem, name: &str, axes: &[Dim]) -> bool {
    port(problem, name).is_some_and(|p| axes.iter().all(|&axis| place(problem, p, Keep { axis, index: 0 }).is_some()))
}

/// The problem with its slices moved on: lengths of packed sequences go along.
fn along(problem: &Problem, axis: Dim) -> Problem {
    let mut problem = problem.clone();
    if let (Dim::N, Some(lengths)) = (axis, &mut problem.sequences) {
        lengths.rotate_left(1);
    }
    problem
}

/// The tensor with the second slice first, and the first last.
fn rotated(problem: &Problem, name: &str, tensor: &Tensor, axis: Dim) -> Tensor {
    let input = |n: &str| -> Option<&'static Port> { problem.spec.input(n).or_else(|| port(problem, n)) };
    let cotangent = || name.strip_prefix("d_").and_then(|o| problem.spec.output(o));
    let Some(found) = input(name).or_else(cotangent) else { return tensor.clone() };
    let count = problem.size(axis);
    let places = (0..count).map(|i| place(problem, found, Keep { axis, index: (i + 1) % count }));
    let Some(places) = places.collect::<Option<Vec<_>>>() else { return tensor.clone() };
    let parts: Vec<Tensor> = places.iter().map(|(axis, range)| tensor.narrow(*axis, range.clone())).collect();
    let at = places.first().map_or(0, |p| p.0);
    Tensor::concat(at, &parts.iter().collect::<Vec<_>>()).unwrap_or_else(|| tensor.clone())
}

fn all(problem: &Problem, tensors: &Tensors, axis: Dim) -> Tensors {
    tensors.iter().map(|(name, t)| (name.clone(), rotated(problem, name, t, axis))).collect()
}

fn turned(case: &Case, truth: &Truth) -> (Case, Tensors, Tensors) {
    let mut turned = (case.clone(), truth.inputs.clone(), truth.cotangents.clone());
    for axis in moved(case) {
        let (inputs, cotangents) = (all(&turned.0.problem, &turned.1, axis), all(&turned.0.problem, &turned.2, axis));
        let problem = along(&turned.0.problem, axis);
        turned = (Case { problem, ..turned.0 }, inputs, cotangents);
    }
    turned
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [a, b, c, d] = trial.answers else { return Ok(verdicts::malformed("four answers".into(), 0)) };
    let axes = moved(trial.case);
    for (before, after, call) in [(a, c, 2), (b, d, 3)] {
        let mut problem = trial.case.problem.clone();
        let mut expected = before.clone();
        for &axis in &axes {
            expected = all(&problem, &expected, axis);
            problem = along(&problem, axis);
        }
        expected.retain(|name, _| judged(&problem, name, &axes));
        if let Some(failure) = verdicts::all_same(&expected, after, PROMISE, call) {
            return Ok(failure);
        }
    }
    Ok(verdicts::pass())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{case, tensor};

    #[test]
    fn slices_change_places_where_the_op_does_not_care() {
        let moved = |text: &str| moved(&case(text));
        assert_eq!(moved("simple_gla(B=2,T=3,H=2)"), [Dim::N, Dim::H]);
        assert_eq!(moved("simple_gla(B=1,T=3,H=2)"), [Dim::H]);
        assert_eq!(moved("retention(B=2,T=3,H=2)"), [Dim::N], "a head's decay is its number's");
        assert_eq!(moved("gla_layer(B=2,T=3)"), [], "what is built of ops promises nothing by itself");
        let judged = |name: &str| judged(&case("short_convolution(B=2)").problem, name, &[Dim::N]);
        assert!(judged("o") && judged("d_x0") && !judged("d_weight"), "all rows share a weight");
    }

    #[test]
    fn the_second_is_first_and_the_first_last() {
        let turned = |text: &str, name: &str, axis| -> Vec<f64> {
            let problem = case(text).problem;
            let found = port(&problem, name).expect("an output");
            let numbers: Vec<f64> = (0..6u8).map(f64::from).collect();
            rotated(&problem, name, &tensor(DType::F32, &problem.shape(found), &numbers), axis).values().collect()
        };
        assert_eq!(turned("simple_gla(B=3,T=1,H=2,V=1)", "o", Dim::N), [2.0, 3.0, 4.0, 5.0, 0.0, 1.0]);
        assert_eq!(turned("simple_gla(B=2,T=1,H=3,V=1)", "o", Dim::H), [1.0, 2.0, 0.0, 4.0, 5.0, 3.0]);
        let packed = case("hgrn(D=1,seqs=3+1+2)");
        assert_eq!(turned("hgrn(D=1,seqs=3+1+2)", "o", Dim::N), [3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
        let (case, inputs, _) = self::turned(&packed, &Truth::of(&packed));
        assert_eq!(case.problem.sequences, Some(vec![1, 2, 3]));
        assert_eq!(inputs["x"].narrow(1, 3..6), Truth::of(&packed).inputs["x"].narrow(1, 0..3));
    }
}
