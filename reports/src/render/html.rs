//! HTML: one page that needs no network. The rows travel as compact JSON and are laid out by an inline script.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, context};
use serde::Serialize;

use super::{Error, plot, reason, reproducer, scaling, speed};
use crate::record::{Expected, Run};
use crate::summary::Summary;
use crate::verdict::{Fault, Verdict};

/// One judged case as the page's script reads it.
#[derive(Serialize)]
struct Row<'a> {
    /// Number of the run.
    r: usize,
    /// Op.
    o: &'a str,
    /// Check.
    k: &'a str,
    /// Case.
    c: &'a str,
    /// Verdict: `pass`, `fail`, `declined`, `mistrusted`, `not_applicable`, `waived`, `surprise`.
    v: &'static str,
    /// Worst error over bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<f64>,
    /// Reason.
    #[serde(skip_serializing_if = "String::is_empty")]
    w: String,
    /// Heat map, rows are tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    h: Option<&'a Vec<Vec<f32>>>,
    /// Command that shows it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
}

/// The runs as one self-contained page.
///
/// # Errors
/// Only faults of this crate.
pub fn html(runs: &[Run]) -> Result<String, Error> {
    let rows: Vec<Row<'_>> =
        runs.iter().enumerate().flat_map(|(r, run)| run.judged.iter().map(move |j| row(r, run, j))).collect();
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.add_template("report.html", include_str!("../../templates/report.html"))?;
    let page = env.get_template("report.html")?;
    // a run that only timed has nothing to count: such runs of one candidate share a box
    let only_timed = |run: &&Run| run.judged.is_empty() && !run.timed.is_empty();
    let heads: Vec<_> = runs
        .iter()
        .filter(|run| !only_timed(run))
        .map(|run| {
            let s = Summary::of(std::slice::from_ref(run));
            context! {
                name => run.candidate.name, version => run.candidate.version, device => run.candidate.device,
                kernels => run.candidate.kernels, suite => run.environment.suite, date => run.environment.date,
                command => run.environment.command, machine => run.environment.machine, judged => run.judged.len(),
                passed => s.passed, failed => s.failed, declined => s.declined, mistrusted => s.mistrusted,
                not_applicable => s.not_applicable, waived => s.waived, surprises => s.surprises,
            }
        })
        .collect();
    let mut timers: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for run in runs.iter().filter(only_timed) {
        let who = &run.candidate;
        timers.entry((&who.name, &who.device, &who.version)).or_default().push(&run.environment.command);
    }
    let timers: Vec<_> = timers
        .into_iter()
        .map(|((name, device, version), commands)| context! { name, device, version, commands })
        .collect();
    let names: Vec<&str> = runs.iter().map(|r| r.candidate.name.as_str()).collect();
    Ok(page.render(context! {
        heads,
        timers,
        total => rows.len(),
        plot => plot::accuracy(runs)?,
        scaling => scaling::plots(runs)?,
        rows => script(&rows)?,
        names => script(&names)?,
        speed => script(&speed::rows(runs))?,
    })?)
}

/// JSON that cannot end the script element it stands in.
fn script(value: &impl Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(value)?
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

fn row<'a>(r: usize, run: &'a Run, judged: &'a crate::record::Judged) -> Row<'a> {
    let (mut e, mut h) = (None, None);
    match &judged.verdict {
        Verdict::Pass { measures } => {
            e = measures.iter().map(|m| m.error / m.bound).reduce(f64::max);
        }
        Verdict::Fail { fault: Fault::Inaccurate { worst, heat, .. }, .. } => {
            e = Some(worst.error / worst.bound);
            h = Some(heat).filter(|heat| !heat.is_empty());
        }
        _ => {}
    }
    let v = match judged.expected {
        Expected::Waived => "waived",
        Expected::Surprise => "surprise",
        Expected::Pass => judged.verdict.kind(),
    };
    let x = (v == "fail").then(|| reproducer(run.asked(), &judged.case, &judged.check));
    let e = e.filter(|e| e.is_finite()).map(|e| (e * 1e4).round() / 1e4);
    Row { r, o: &judged.op, k: &judged.check, c: &judged.case, v, e, w: reason(&judged.verdict), h, x }
}
