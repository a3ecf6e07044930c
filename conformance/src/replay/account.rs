//! The full account of a verdict, as text.

use std::fmt::Write;
use std::sync::Arc;

use reference::error::Error;
use reference::tensor::Tensors;
use reports::verdict::Verdict;

use super::inaccurate;
use crate::candidate::Request;
use crate::case::Case;
use crate::check::Check;
use crate::examine::{Asked, furthest, truth_of};
use crate::measure::Standard;
use crate::report::sentence;
use crate::truth::{Standards, Truth};

/// Elements in the table of the furthest ones.
const SHOWN: usize = 8;

/// One line: check, verdict, what it says.
pub(super) fn line(check: &str, verdict: &Verdict) -> String {
    format!("{check:<10} {:<14} {}", verdict.kind(), sentence(verdict))
}

/// The verdict on a case, with every statistic that can be had.
pub(super) fn full(case: &Case, truth: &Truth, check: &Check, asked: &Asked, verdict: &Verdict) -> String {
    let mut text = line(check.name, verdict);
    text.push('\n');
    if let Verdict::Pass { measures } = verdict {
        for m in measures {
            row(&mut text, &m.port, &m.statistic, [m.error, m.bound, m.relative], &m.at);
        }
    }
    let failing =
        inaccurate(verdict).and_then(|(port, call)| Some((port, asked.requests.get(call)?, asked.answers.get(call)?)));
    if let Some((port, request, answers)) = failing {
        // a call that asks the whole case is shown against the case's truth, a piece against its own
        let whole = request.problem == case.problem && request.inputs == truth.inputs;
        let own = if whole { None } else { Some(truth_of(request)) };
        text.push_str(&port_account(own.as_ref().unwrap_or(truth), request, answers, port).unwrap_or_default());
    }
    text
}

/// The account of a dumped call.
///
/// # Errors
/// Inputs that do not fit the problem.
pub(super) fn of_call(request: &Request, answers: &Tensors, verdict: &Verdict) -> Result<String, Error> {
    let mut text = line("call", verdict);
    text.push('\n');
    let truth = truth_of(request);
    for name in &request.want {
        text.push_str(&port_account(&truth, request, answers, name)?);
    }
    Ok(text)
}

fn port_account(truth: &Truth, request: &Request, answers: &Tensors, port: &str) -> Result<String, Error> {
    let standards: Arc<Standards> = match request.problem.spec.output(port) {
        Some(_) => truth.outputs()?,
        None => truth.gradients(&request.cotangents)?,
    };
    let mut text = String::new();
    let (Some(standard), Some(answer)) = (standards.get(port), answers.get(port)) else { return Ok(text) };
    if answer.shape() != standard.truth.shape() || answer.is_empty() {
        return Ok(text);
    }
    statistics(&mut text, standard, &(answer.to_array() - &standard.truth));
    let _ = writeln!(text, "  {:<16} {:>14} {:>14} {:>10} {:>10}", "index", "truth", "answer", "error", "floors");
    for (at, [truth, got, sigma]) in furthest(standard, answer, SHOWN) {
        let (at, error) = (format!("{at:?}"), got - truth);
        let _ = writeln!(text, "  {at:<16} {truth:>14.6e} {got:>14.6e} {error:>10.2e} {:>10.2}", error.abs() / sigma);
    }
    Ok(text)
}

fn statistics(text: &mut String, standard: &Standard, error: &ndarray::ArrayD<f64>) {
    for m in standard.measures(error) {
        row(text, &m.port, &m.statistic, [m.error, m.bound, m.relative], &m.at);
    }
}

fn row(text: &mut String, port: &str, statistic: &str, [error, bound, relative]: [f64; 3], at: &[usize]) {
    let _ = writeln!(
        text,
        "  {port:<10} {statistic:<5} {error:>9.3} of {bound:>6.2} floors, relative {relative:.2e}, worst at {at:?}"
    );
}
