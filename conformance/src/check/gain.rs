//! Errors have no direction: over many heads and seeds, answers are on average neither too large nor too small. What is
//! truncated instead of rounded, or multiplied with a constant that lacks digits, errs by less than any tolerance of a
//! single answer, but always to the same side.
//!
//! The unit is the head of one call, as its elements share errors through the state. Only of outputs that are stored in
//! a short type: what an exponential function of `f32` has as a bias of its own is less than that type resolves.

use reference::error::Error;
use reference::oracle;
use reference::problem::Problem;
use reference::spec::{Dim, Level, OpSpec, Port, Precision};
use reference::tensor::{DType, Tensor};
use reports::verdict::{Fault, Verdict};

use super::isolation::{Keep, place};
use super::{Call, Check, Trial, anyone, verdicts};
use crate::case::Case;
use crate::measure::{Measure, gain};
use crate::probe::wide;
use crate::sample::{self, Profile};

/// Heads that are looked at, and the most calls that are made for them.
const REPLICATES: usize = 24;
const CALLS: usize = 12;

pub(super) static CHECK: Check = Check {
    name: "gain",
    summary: "over many heads and seeds, answers are neither too large nor too small on average",
    applies: |case| {
        let p = &case.problem;
        let short = matches!(case.dtype, DType::Bf16 | DType::F16);
        let plain = matches!(case.profile, Profile::Typical | Profile::ModelScale);
        let enough = p.size(Dim::T) > 1 && calls(p) * heads(p) >= REPLICATES / 2;
        short
            && plain
            && enough
            && p.spec.level <= Level::Module
            && case.seed.is_multiple_of(4)
            && p.outputs().any(told)
    },
    needs: anyone,
    plan: |case, _| {
        let another = |i: usize| Case { seed: case.seed ^ (i as u64) << 32, ..case.clone() };
        let call = |i: usize| Call::forward(&case.problem, &sample::inputs(&another(i)));
        (0..calls(&case.problem)).map(call).collect()
    },
    judge,
};

fn told(port: &'static Port) -> bool {
    OpSpec::per_token(port) && port.precision == Precision::Storage
}

/// Heads of one call, rows included.
fn heads(problem: &Problem) -> usize {
    slices(problem).len()
}

fn slices(problem: &Problem) -> Vec<[Keep; 2]> {
    let keep = |axis| (0..problem.size(axis)).map(move |index| Keep { axis, index });
    keep(Dim::N).flat_map(|n| keep(Dim::H).map(move |h| [n, h])).collect()
}

fn calls(problem: &Problem) -> usize {
    REPLICATES.div_ceil(heads(problem).max(1)).min(CALLS)
}

/// One head's part of an output.
fn part(problem: &Problem, port: &Port, tensor: &Tensor, keep: [Keep; 2]) -> Tensor {
    keep.into_iter()
        .filter_map(|k| place(problem, port, k))
        .fold(tensor.clone(), |t, (axis, range)| t.narrow(axis, range))
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let problem = &trial.case.problem;
    let mut gains: Vec<(&'static Port, Vec<f64>)> =
        problem.outputs().filter(|p| told(p)).map(|p| (p, Vec::new())).collect();
    for (call, answers) in trial.calls.iter().zip(trial.answers) {
        let Some(request) = call.request(trial.case.dtype, &[]) else { continue };
        let truth = oracle::forward(problem, &wide(&request.inputs))?;
        for (port, gains) in &mut gains {
            let Some(got) = answers.get(port.name) else {
                return Ok(verdicts::malformed(format!("{} is missing", port.name), 0));
            };
            let exact = Tensor::from_array(&truth[port.name], DType::F64);
            for keep in slices(problem) {
                let [y, got] = [&exact, got].map(|t| part(problem, port, t, keep));
                let sum = |f: fn(f64, f64) -> f64| y.values().zip(got.values()).map(|(y, x)| f(y, x)).sum::<f64>();
                let size = sum(|y, _| y * y);
                if size > 0.0 {
                    gains.push(sum(|y, x| (x - y) * y) / size);
                }
            }
        }
    }
    let measures: Vec<Measure> = gains.iter().map(|(port, gains)| gain(port.name, gains, trial.case.dtype)).collect();
    let mut beyond: Vec<Measure> = measures.iter().filter(|m| !m.within()).cloned().collect();
    if beyond.is_empty() {
        return Ok(Verdict::Pass { measures });
    }
    let fault = Fault::Inaccurate { worst: beyond.remove(0), others: beyond, heat: Vec::new() };
    Ok(Verdict::Fail { fault, call: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{case, tensor};
    use crate::truth::Truth;

    #[test]
    fn calls_have_numbers_of_their_own_and_are_enough_for_the_replicates() {
        let case = case("simple_gla(B=1,T=2,H=3,K=1,V=1,dtype=bf16,seed=4)");
        assert_eq!((heads(&case.problem), calls(&case.problem)), (3, 8));
        let planned = (CHECK.plan)(&case, &Truth::of(&case));
        let inputs = |call: &Call| call.request(case.dtype, &[]).expect("no answer is needed").inputs;
        assert_eq!(planned.len(), 8);
        assert_eq!(inputs(&planned[0]), sample::inputs(&case));
        assert_eq!(inputs(&planned[3]), sample::inputs(&Case { seed: 4 + (3 << 32), ..case.clone() }));
        let far = (CHECK.plan)(&Case { seed: 1 << 32, ..case.clone() }, &Truth::of(&case));
        assert_ne!(inputs(&far[0]), inputs(&far[1]));
        let of = |text: &str| calls(&self::case(text).problem);
        assert_eq!((of("simple_gla(B=1,H=1)"), of("simple_gla(B=9,H=9)")), (CALLS, 1));
    }

    #[test]
    fn a_gain_is_the_part_of_the_error_that_the_truth_has_and_zeros_have_none() {
        let case = case("simple_gla(B=1,T=2,H=24,K=1,V=1,dtype=bf16,absent=g_gamma+h0+ht)");
        let mut calls = (CHECK.plan)(&case, &Truth::of(&case));
        // the first head has zeros alone
        let values: Vec<f64> = (0..48).map(|i| if i % 24 == 0 { 0.0 } else { 1.0 + f64::from(i) }).collect();
        calls[0].inputs.insert("v".into(), super::super::Source::Value(tensor(DType::Bf16, &[1, 2, 24, 1], &values)));
        let request = calls[0].request(case.dtype, &[]).expect("no answer is needed");
        let truth = oracle::forward(&case.problem, &wide(&request.inputs)).expect("the oracle answers");
        let found = |gain: f64| {
            let answer = Tensor::from_array(&(&truth["o"] * (1.0 + gain * case.dtype.unit_roundoff())), DType::F64);
            let answers = [[("o".to_owned(), answer)].into()];
            judge(&Trial { case: &case, truth: &Truth::of(&case), calls: &calls, answers: &answers })
        };
        assert!(matches!(found(0.0), Ok(Verdict::Pass { .. })));
        let Ok(Verdict::Fail { fault: Fault::Inaccurate { worst, .. }, .. }) = found(2.0) else { panic!("it fails") };
        assert!((worst.error - 2.0).abs() < 1e-9, "{worst:?}");
    }
}
