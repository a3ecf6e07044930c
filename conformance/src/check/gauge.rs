//! Powers of two pass through what is linear without a trace: values and states four times as large, queries doubled
//! where `scale` is halved, cotangents eight times as large give the same digits at other exponents.
//!
//! What is linear in what is found out by the oracle, on a small problem: a factor is kept when every answer becomes a
//! power of two times itself. Not in `f16`, whose range ends close by.

use std::collections::BTreeMap;

use reference::error::Error;
use reference::spec::{Dim, Domain, OpSpec, Port, Value};
use reference::tensor::{DType, Tensor, Tensors};
use reference::{problem::Problem, tensor::Arrays};
use reports::verdict::{Fault, Verdict};

use super::{Call, Check, Trial, anyone, verdicts};
use crate::case::Case;
use crate::measure::{far, index};
use crate::probe::{Memo, Question, small};
use crate::sample::Profile;
use crate::truth::Truth;

pub(super) static CHECK: Check = Check {
    name: "gauge",
    summary: "powers of two on what answers are linear in change exponents and no digit",
    applies: |case| case.dtype != DType::F16 && super::has_tokens(case) && gauge(case).is_some(),
    needs: anyone,
    plan: |case, truth| {
        let one = Gauge::default();
        let gauge = gauge(case).unwrap_or_default();
        [&one, &gauge].into_iter().flat_map(|g| both(case, truth, g)).collect()
    },
    judge,
};

/// Factors, all of them powers of two.
#[derive(Debug, Clone, PartialEq)]
struct Gauge {
    inputs: BTreeMap<&'static str, f64>,
    cotangents: f64,
    scale: f64,
    /// What becomes of outputs and gradients.
    answers: BTreeMap<String, f64>,
}

impl Default for Gauge {
    fn default() -> Self {
        Self { inputs: BTreeMap::new(), cotangents: 1.0, scale: 1.0, answers: BTreeMap::new() }
    }
}

impl Gauge {
    /// The same problem with `scale` as a number, and this factor on it.
    fn scaled(&self, problem: &Problem) -> Problem {
        let mut problem = problem.clone();
        if let (Some(attr), Some(scale)) = (problem.spec.attr("scale"), explicit(&problem)) {
            problem.attrs.insert(attr.name, Value::Number(scale * self.scale));
        }
        problem
    }

    fn of(&self, name: &str) -> f64 {
        self.inputs.get(name).copied().unwrap_or(1.0)
    }

    fn put(&self, question: &Question) -> Question {
        let mut scaled = Question { problem: self.scaled(&question.problem), ..question.clone() };
        scaled.inputs.iter_mut().for_each(|(name, x)| *x *= self.of(name));
        scaled.cotangents.values_mut().for_each(|x| *x *= self.cotangents);
        scaled
    }
}

/// `scale` as a number: what the case says, or another one where the op would derive it.
fn explicit(problem: &Problem) -> Option<f64> {
    let attr = problem.spec.attr("scale")?;
    problem.number("scale").or(match attr.other {
        Value::Number(x) => Some(x),
        Value::Flag(_) | Value::Auto | Value::Word(_) => None,
    })
}

static KNOWN: Memo<Option<Gauge>> = Memo::new();

fn gauge(case: &Case) -> Option<Gauge> {
    KNOWN.of(&small(case, Profile::Typical, 1)?, |small| {
        let question = Question::of(small);
        let plain = Gauge::default().put(&question).answer().ok()?;
        let mut found = None;
        for step in steps(&small.problem) {
            let mut next = found.clone().unwrap_or_default();
            step(&mut next);
            let answer = next.put(&question).answer().ok()?;
            if let Some(answers) = factors(&plain, &answer) {
                found = Some(Gauge { answers, ..next });
            }
        }
        found
    })
}

type Step = Box<dyn Fn(&mut Gauge)>;

/// Factors to try, one after another.
fn steps(problem: &Problem) -> Vec<Step> {
    let values: Vec<&'static str> = values(problem);
    let mut steps: Vec<Step> = vec![
        Box::new(|g| g.cotangents = 8.0),
        Box::new(move |g| g.inputs.extend(values.iter().map(|&name| (name, 4.0)))),
    ];
    if let Some(q) = problem.inputs().find(|p| p.name == "q") {
        let scale = if explicit(problem).is_some() { 0.5 } else { 1.0 };
        steps.push(Box::new(move |g| {
            g.inputs.insert(q.name, 2.0);
            g.scale = scale;
        }));
    }
    steps
}

/// What an op is linear in: inputs as wide as values, or, without such a width, what is no key and no gate, and states.
fn values(problem: &Problem) -> Vec<&'static str> {
    let signed = |p: &&Port| problem.domain(p) == Domain::Normal;
    let wide: Vec<_> = problem.inputs().filter(signed).filter(|p| p.dims.contains(&Dim::V)).map(|p| p.name).collect();
    if !wide.is_empty() {
        return wide;
    }
    let own = |p: &&Port| !p.dims.contains(&Dim::K) && (OpSpec::per_token(p) || p.dims.contains(&Dim::N));
    problem.inputs().filter(signed).filter(own).map(|p| p.name).collect()
}

/// The power of two by which each answer is larger, if it is one. What is zero on so small a problem says nothing.
fn factors(before: &Arrays, after: &Arrays) -> Option<BTreeMap<String, f64>> {
    let mut factors = BTreeMap::new();
    for (name, a) in before {
        let b = after.get(name)?;
        let largest = a.iter().zip(b).max_by(|x, y| x.0.abs().total_cmp(&y.0.abs()))?;
        let factor = largest.1 / largest.0;
        let power = factor.is_normal() && factor.is_sign_positive() && factor.to_bits().trailing_zeros() >= 52;
        let all = a.iter().zip(b).all(|(x, y)| (factor * x).total_cmp(y).is_eq() || (*x == 0.0 && *y == 0.0));
        if largest.0.abs() > 0.0 {
            if !(power && all) {
                return None;
            }
            factors.insert(name.clone(), factor);
        }
    }
    Some(factors)
}

fn both(case: &Case, truth: &Truth, gauge: &Gauge) -> [Call; 2] {
    let problem = gauge.scaled(&case.problem);
    let times = |t: &Tensor, factor: f64| match t.dtype() {
        DType::I64 => t.clone(),
        dtype => Tensor::from_array(&(t.to_array() * factor), dtype),
    };
    let inputs: Tensors = truth.inputs.iter().map(|(name, t)| (name.clone(), times(t, gauge.of(name)))).collect();
    let cotangents = truth.cotangents.iter().map(|(name, t)| (name.clone(), times(t, gauge.cotangents))).collect();
    [Call::forward(&problem, &inputs), Call::backward(&problem, &inputs, &cotangents)]
}

fn judge(trial: &Trial<'_>) -> Result<Verdict, Error> {
    let [a, b, c, d] = trial.answers else { return Ok(verdicts::malformed("four answers".into(), 0)) };
    let gauge = gauge(trial.case).unwrap_or_default();
    let pairs = [(a, c, 2), (b, d, 3)];
    let found = pairs.into_iter().find_map(|(before, after, call)| {
        before.iter().find_map(|(name, x)| {
            let factor = *gauge.answers.get(name)?;
            match after.get(name) {
                Some(y) => differs(name, x, y, factor).map(|fault| Verdict::Fail { fault, call }),
                None => Some(verdicts::malformed(format!("{name} is missing"), call)),
            }
        })
    });
    Ok(found.unwrap_or_else(verdicts::pass))
}

/// The first element that is not `factor` times what it was, away from where a type's numbers end.
fn differs(name: &str, before: &Tensor, after: &Tensor, factor: f64) -> Option<Fault> {
    let apart =
        |(x, y): (f64, f64)| !(far(x) && far(y)) && (factor * x).partial_cmp(&y) != Some(std::cmp::Ordering::Equal);
    let at = before.values().zip(after.values()).position(apart)?;
    let (x, y) = (before.values().nth(at)?, after.values().nth(at)?);
    let promise = format!("powers of two on what it is linear in make it {factor} times {x:e}, got {y:e}");
    Some(Fault::Different { port: name.to_owned(), at: index(before.shape(), at), promise })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{case, tensor};

    #[test]
    fn a_factor_is_a_power_of_two_that_all_elements_share() {
        let arrays = |x: &[f64]| Arrays::from([("o".to_owned(), ndarray::arr1(x).into_dyn())]);
        let of = |before: &[f64], after: &[f64]| factors(&arrays(before), &arrays(after)).map(|f| f.get("o").copied());
        assert_eq!(of(&[1.0, -3.0], &[4.0, -12.0]), Some(Some(4.0)));
        assert_eq!(of(&[1.0, 0.0], &[0.5, -0.0]), Some(Some(0.5)), "a zero has no sign");
        assert_eq!(of(&[0.0, 0.0], &[5.0, 7.0]), Some(None), "zeros say nothing");
        for after in [[3.0, -9.0], [-4.0, 12.0], [5.0, -12.0], [0.0, -12.0]] {
            assert_eq!(of(&[1.0, -3.0], &after), None, "{after:?}");
        }
        assert_eq!(of(&[1.0, 0.0], &[4.0, 1.0]), None);
    }

    #[test]
    fn what_an_op_is_linear_in_is_found() {
        assert_eq!(values(&case("simple_gla()").problem), ["v", "h0"]);
        assert_eq!(values(&case("hgrn()").problem), ["x", "h0"]);
        assert_eq!(
            values(&case("short_convolution()").problem),
            ["x", "residual", "x0"],
            "what is no sequence's stays"
        );
        let scale = |text: &str| explicit(&case(text).problem);
        assert_eq!(
            (scale("simple_gla(scale=0.25)"), scale("simple_gla()"), scale("hgrn()")),
            (Some(0.25), Some(0.375), None)
        );
        let case = case("simple_gla(B=1,T=2,H=1,K=1,V=1,absent=g_gamma)");
        let found = gauge(&case).expect("it is linear in its values");
        // queries are doubled where scale is halved
        let answers =
            [("o", 4.0), ("ht", 4.0), ("d_q", 16.0), ("d_k", 32.0), ("d_v", 8.0), ("d_g", 32.0), ("d_h0", 8.0)];
        assert_eq!(found.answers, answers.map(|(name, factor)| (name.to_owned(), factor)).into());
        let truth = Truth::of(&case);
        let request = both(&case, &truth, &found)[1].request(case.dtype, &[]).expect("no answer is needed");
        assert_eq!(request.problem.number("scale"), Some(0.1875));
        let times = |name: &str, t: &Tensor, all: &Tensors| t.to_array() / all[name].to_array();
        assert!(times("v", &request.inputs["v"], &truth.inputs).iter().all(|f| f.to_bits() == 4f64.to_bits()));
        assert!(
            times("d_o", &request.cotangents["d_o"], &truth.cotangents).iter().all(|f| f.to_bits() == 8f64.to_bits())
        );
        assert_eq!(request.inputs["k"], truth.inputs["k"]);
    }

    #[test]
    fn digits_are_compared_where_numbers_do_not_end() {
        let power = |n| 2f64.powi(n);
        let differs = |x: [f64; 2], y: [f64; 2]| -> Vec<usize> {
            let [x, y] = [x, y].map(|v| tensor(DType::F32, &[2], &v));
            match differs("o", &x, &y, 4.0) {
                Some(Fault::Different { at, .. }) => at,
                other => other.map_or_else(Vec::new, |fault| panic!("{fault:?}")),
            }
        };
        assert!(differs([1.0, 2.0], [4.0, 8.0]).is_empty());
        assert_eq!((differs([1.0, 2.0], [4.0, 8.5]), differs([1.0, 2.0], [f64::NAN, 8.0])), (vec![1], vec![0]));
        assert!(
            differs([1.0, power(-120)], [4.0, 1.5 * power(-118)]).is_empty(),
            "both are so small that digits are lost"
        );
        assert_eq!(differs([1.0, power(-99)], [4.0, power(-101)]), [1]);
    }
}
