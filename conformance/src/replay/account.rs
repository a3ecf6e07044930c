//! The full account of a verdict, as text.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use reference::error::Error;
use reference::tensor::Tensors;
use reports::verdict::{Fault, Verdict};

use super::inaccurate;
use crate::candidate::Request;
use crate::case::Case;
use crate::check::Check;
use crate::examine::{Asked, furthest, truth_of};
use crate::measure::Measure;
use crate::report::{sentence, unit};
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
            row(&mut text, m);
        }
    }
    if let Verdict::Fail { fault: Fault::Inaccurate { heat, .. }, .. } = verdict
        && heat.iter().map(Vec::len).sum::<usize>() > 1
    {
        text.push_str(&map(heat));
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

/// Which outputs and gradients are right by themselves, and which are not.
pub(super) fn tensors(right: &BTreeSet<String>, wrong: &BTreeSet<String>) -> String {
    let list = |names: &BTreeSet<String>| match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.iter().cloned().collect::<Vec<_>>().join(", "),
    };
    format!("right by itself: {}; wrong: {}", list(right), list(wrong))
}

/// The errors over tokens (down) and heads (across), each relative to the largest; rows of a long sequence together.
fn map(heat: &[Vec<f32>]) -> String {
    let most = heat.iter().flatten().copied().fold(0.0, f32::max);
    let rows = heat.chunks(heat.len().div_ceil(ROWS).max(1));
    let mut text = String::new();
    for (i, rows) in rows.enumerate() {
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |column: usize| rows.iter().filter_map(|r| r.get(column)).copied().fold(0.0, f32::max);
        let shade = |e: f32| SHADES[((e / most * (SHADES.len() - 1) as f32).ceil() as usize).min(SHADES.len() - 1)];
        let line: String = (0..width).map(|column| if most > 0.0 { shade(cell(column)) } else { SHADES[0] }).collect();
        let name = if i == 0 { "error by token and head" } else { "" };
        let _ = writeln!(text, "  {name:<24}|{line}|");
    }
    text
}

/// Lines of a heat map, and its shades: nothing, then by tenths of the largest error.
const ROWS: usize = 16;
const SHADES: [char; 11] = [' ', '.', ',', ':', ';', '-', '=', '+', '*', '#', '@'];

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
    let (standard, _) = standard.decide(answer);
    standard.measures(&(answer.to_array() - &standard.truth)).iter().for_each(|m| row(&mut text, m));
    let _ = writeln!(text, "  {:<16} {:>14} {:>14} {:>10} {:>10}", "index", "truth", "answer", "error", "floors");
    for (at, [truth, got, sigma]) in furthest(standard, answer, SHOWN) {
        let (at, error) = (format!("{at:?}"), got - truth);
        let _ = writeln!(text, "  {at:<16} {truth:>14.6e} {got:>14.6e} {error:>10.2e} {:>10.2}", error.abs() / sigma);
    }
    Ok(text)
}

fn row(text: &mut String, m: &Measure) {
    let Measure { port, statistic, error, bound, relative, at, runs } = m;
    let unit = unit(*runs);
    let _ = writeln!(
        text,
        "  {port:<10} {statistic:<5} {error:>9.3} of {bound:>6.2} {unit}, relative {relative:.2e}, worst at {at:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_where_errors_are() {
        let mut heat = vec![vec![0.0f32; 3]; 40];
        heat[39][2] = 4.0;
        heat[0][0] = 0.1;
        let text = map(&heat);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 14, "three tokens a line");
        assert!(lines[0].ends_with("|.  |") && lines[13].ends_with("|  @|") && lines[5].ends_with("|   |"), "{text}");
        assert!(map(&[vec![0.0; 2]]).ends_with("|  |\n"), "nothing is wrong");
    }

    #[test]
    fn tensors_are_named() {
        let set = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<BTreeSet<String>>();
        assert_eq!(tensors(&set(&["o"]), &set(&["d_g"])), "right by itself: o; wrong: d_g");
        assert_eq!(tensors(&set(&[]), &set(&["o", "ht"])), "right by itself: nothing; wrong: ht, o");
    }
}
