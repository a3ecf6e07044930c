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
        let power = factor.is_normal() && factor > 0.0 && factor.to_bits().trailing_zeros() >= 52;
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
