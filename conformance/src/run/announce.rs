//! What a run leaves behind: records, dumps, lines on the terminal, reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reference::spec::Level;
use reports::record::{self, Environment, Expected, FORMAT, Identity, Judged, Line, Run};
use reports::summary::Summary;
use reports::verdict::Verdict;

use super::{Error, Outcome, RECORDS, Task, named, reproducer};
use crate::check::{CHECKS, Check};
use crate::cli::RunArgs;
use crate::expect::Expectations;
use crate::output::print_record;
use crate::{environment, precision, report, sample, wire};

/// So many specs that a candidate does not have are named, more are counted.
const NAMED: usize = 12;

/// Takes outcomes as they come.
pub(super) struct Announcer<'a> {
    args: &'a RunArgs,
    records: File,
    expectations: &'a Expectations,
    run: Run,
    bar: ProgressBar,
    colour: bool,
}

impl<'a> Announcer<'a> {
    pub(super) fn new(
        args: &'a RunArgs,
        records: File,
        expectations: &'a Expectations,
        tasks: &[Task],
        identity: Identity,
    ) -> Result<Self, Error> {
        let held = |task: &Task| (task.case.problem.spec.name.to_owned(), precision::hash(task.case.problem.spec));
        let precision = tasks.iter().map(held).collect();
        let environment = Environment { asked: args.candidate.clone(), precision, ..environment::here() };
        let run = Run { candidate: named(&args.candidate, identity), environment, ..Run::default() };
        let total = tasks.iter().map(|t| t.checks.len() as u64).sum();
        let stderr = std::io::stderr().is_terminal();
        let target = if stderr { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {eta}");
        let bar = ProgressBar::with_draw_target(Some(total), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let colour = if args.json { stderr } else { std::io::stdout().is_terminal() };
        let mut announcer = Self { args, records, expectations, run, bar, colour };
        let (candidate, environment) = (announcer.run.candidate.clone(), announcer.run.environment.clone());
        announcer.write(&Line::Run { format: FORMAT, candidate, environment })?;
        Ok(announcer)
    }

    pub(super) fn take(&mut self, outcome: Outcome) -> Result<(), Error> {
        let Outcome { case, check, verdict, call, ran, seconds } = outcome;
        let (op, text) = (case.problem.spec.name, case.to_string());
        let expected = self.expectations.meaning(&text, check.name, &verdict);
        let suite = self.args.suite.name().to_owned();
        let judged = Judged {
            op: op.to_owned(),
            case: text,
            check: check.name.to_owned(),
            suite,
            verdict,
            expected,
            seconds,
            ran,
        };
        self.write(&Line::Judged(judged.clone()))?;
        if !is_fine(&judged) {
            self.tell(&failure(&self.args.candidate, &judged, self.colour));
            if let Some(call) = call {
                self.dump(&judged, &wire::encode_call(&call))?;
            }
        }
        self.run.judged.push(judged);
        self.bar.inc(1);
        Ok(())
    }

    /// Reports and the last lines.
    pub(super) fn finish(self) -> Result<ExitCode, Error> {
        self.bar.finish_and_clear();
        let page = report::write(std::slice::from_ref(&self.run), &self.args.out)?;
        self.tell(&format!("report: {}", page.display()));
        let waived = waived(&self.run, self.expectations);
        for line in by_check(&self.run).into_iter().chain(waived).chain(skipped(&self.run)) {
            self.tell(&line);
        }
        let summary = Summary::of(std::slice::from_ref(&self.run));
        self.tell(&counts(&summary));
        Ok(if summary.as_expected() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn write(&mut self, line: &Line) -> Result<(), Error> {
        let path = self.args.out.join(RECORDS);
        if self.args.json {
            print_record(line);
        }
        record::write(&mut self.records, line).map_err(|source| Error::Write { path, source })
    }

    pub(super) fn tell(&self, text: &str) {
        self.bar.suspend(|| {
            // a closed pipe must not stop the run: the records are in a file
            let _ = if self.args.json {
                writeln!(std::io::stderr(), "{text}")
            } else {
                writeln!(std::io::stdout(), "{text}")
            };
        });
    }

    fn dump(&self, judged: &Judged, bytes: &[u8]) -> Result<(), Error> {
        let folder = self.args.out.join("failures");
        let name = sample::Key::new(&judged.case).word();
        let path = folder.join(format!("{}-{}-{name:016x}.safetensors", judged.op, judged.check));
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|source| Error::Write { path, source })
    }
}

/// Whether a record lets the run succeed.
fn is_fine(judged: &Judged) -> bool {
    let quiet = matches!(judged.verdict, Verdict::Pass { .. } | Verdict::NotApplicable { .. });
    match judged.expected {
        Expected::Pass => quiet,
        Expected::Waived => true,
        Expected::Surprise => false,
    }
}

/// What of the suite the candidate does not have: names, or of many how many at which level.
pub(super) fn lacking(specs: &BTreeSet<&'static str>) -> Option<String> {
    let mut levels: BTreeMap<Level, usize> = BTreeMap::new();
    for spec in reference::specs().filter(|s| specs.contains(s.name)) {
        *levels.entry(spec.level).or_default() += 1;
    }
    let counted = |(level, n): (&Level, &usize)| format!("{n} {}{}", level.name(), if *n == 1 { "" } else { "s" });
    let which: Vec<String> = match specs.len() {
        ..=NAMED => specs.iter().map(|&name| name.to_owned()).collect(),
        _ => levels.iter().map(counted).collect(),
    };
    let said = format!("not asked, because the candidate does not have them: {}", which.join(", "));
    (!specs.is_empty()).then_some(said)
}

/// Failures that were expected, by waiver or reason, and how many each let pass.
fn waived(run: &Run, expectations: &Expectations) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let failed = |j: &&Judged| j.expected == Expected::Waived && matches!(j.verdict, Verdict::Fail { .. });
    for judged in run.judged.iter().filter(failed) {
        let ids = expectations.waivers(&judged.case, &judged.check).join(", ");
        let reason = expectations.reason(&judged.case, &judged.check).unwrap_or("expected to fail");
        let by = if ids.is_empty() { reason.to_owned() } else { format!("{ids}: {reason}") };
        *counts.entry(by).or_default() += 1;
    }
    counts.into_iter().map(|(by, n)| format!("skipped: {n} waived: {by}")).collect()
}

/// The last line: a pass that was expected to fail fails the run, and is counted so.
fn counts(summary: &Summary) -> String {
    let (passed, failed) = (summary.passed - summary.surprises, summary.failed + summary.surprises);
    format!("conformance: {passed} passed, {failed} failed, {} skipped", summary.skipped())
}

/// How often each check was applied, declined, mistrusted, and not applicable.
fn by_check(run: &Run) -> Vec<String> {
    let count = |check: &&Check| {
        let mut counts = [0; 4];
        for judged in run.judged.iter().filter(|j| j.check == check.name) {
            let kind = match judged.verdict {
                Verdict::Pass { .. } | Verdict::Fail { .. } => 0,
                Verdict::Declined { .. } => 1,
                Verdict::Mistrusted { .. } => 2,
                Verdict::NotApplicable { .. } => 3,
            };
            counts[kind] += 1;
        }
        let [applied, declined, mistrusted, other] = counts;
        let line = format!(
            "{:<10} {applied:>6} applied {declined:>5} declined {mistrusted:>5} mistrusted {other:>5} not applicable",
            check.name
        );
        (applied + declined + mistrusted + other > 0).then_some(line)
    };
    CHECKS.iter().filter_map(count).collect()
}

/// Why checks were skipped, and how often.
fn skipped(run: &Run) -> Vec<String> {
    let mut reasons: BTreeMap<(String, String), usize> = BTreeMap::new();
    for judged in run.judged.iter().filter(|j| j.expected != Expected::Surprise) {
        let (kind, reason) = match &judged.verdict {
            Verdict::Declined { reason } => ("declined", reason.clone()),
            Verdict::Mistrusted { reason } => ("mistrusted", reason.clone()),
            Verdict::NotApplicable { reason } => ("not applicable", reason.clone()),
            Verdict::Pass { .. } | Verdict::Fail { .. } => continue,
        };
        *reasons.entry((kind.to_owned(), reason)).or_default() += 1;
    }
    reasons.into_iter().map(|((kind, reason), n)| format!("skipped: {n} {kind}: {reason}")).collect()
}

fn failure(candidate: &str, judged: &Judged, colour: bool) -> String {
    let (red, off) = if colour { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    let kind = match judged.expected {
        Expected::Surprise => "unexpected ",
        Expected::Pass | Expected::Waived => "",
    };
    let what = report::sentence(&judged.verdict);
    let again = reproducer(candidate, &judged.case, &judged.check);
    format!("{red}{kind}{}{off} {}: {what}\n  {again}", judged.verdict.kind(), judged.check)
}

#[cfg(test)]
mod tests;
