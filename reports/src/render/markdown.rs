//! Markdown: the report in short, for a CI summary.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::speed::{self, Row};
use super::{reason, reproducer};
use crate::record::{Expected, Run};
use crate::summary::Summary;
use crate::verdict::Verdict;

/// Failures listed in full; the rest are counted.
const LISTED: usize = 50;

/// The runs as Markdown.
#[must_use]
pub fn markdown(runs: &[Run]) -> String {
    let mut text = String::from("# fla-conformance report\n");
    for run in runs {
        section(&mut text, run);
    }
    speeds(&mut text, &speed::rows(runs));
    text
}

fn section(text: &mut String, run: &Run) {
    let (who, env) = (&run.candidate, &run.environment);
    let _ = writeln!(text, "\n## {} on {}\n", cell(&who.name), cell(&who.device));
    let _ = writeln!(text, "{} · suite {} · {} · `{}`\n", cell(&who.version), env.suite, env.date, env.command);
    if run.judged.is_empty() {
        text.push_str("Nothing was judged.\n");
        return;
    }
    let s = Summary::of(std::slice::from_ref(run));
    let _ = writeln!(
        text,
        "**{} passed, {} failed**, {} declined, {} mistrusted, {} not applicable, {} as expected by file, \
         {} surprises\n",
        s.passed, s.failed, s.declined, s.mistrusted, s.not_applicable, s.waived, s.surprises
    );
    let mut counts: BTreeMap<(&str, &str), Summary> = BTreeMap::new();
    for judged in &run.judged {
        let entry = counts.entry((&judged.op, &judged.check)).or_default();
        *entry = entry.with(judged);
    }
    text.push_str("| op | check | passed | failed | skipped |\n|---|---|---|---|---|\n");
    for ((op, check), s) in counts {
        let _ = writeln!(text, "| {op} | {check} | {} | {} | {} |", s.passed, s.failed, s.skipped());
    }
    let failures: Vec<_> = run
        .judged
        .iter()
        .filter(|j| j.expected != Expected::Waived && matches!(j.verdict, Verdict::Fail { .. }))
        .collect();
    if failures.is_empty() {
        return;
    }
    text.push_str("\n### Failures\n\n");
    for judged in failures.iter().take(LISTED) {
        let _ = writeln!(text, "- {}: {}", judged.check, cell(&reason(&judged.verdict)));
        let _ = writeln!(text, "  `{}`", reproducer(run.asked(), &judged.case, &judged.check));
    }
    if failures.len() > LISTED {
        let _ = writeln!(text, "- and {} more: see report.html", failures.len() - LISTED);
    }
}

fn speeds(text: &mut String, rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    text.push_str("\n## Speed and memory\n\nMedian device time; ratios within one file are side by side.\n\n");
    text.push_str(
        "| case | pass | candidate | median ms | × floor | × first | workspace MiB |\n|---|---|---|---|---|---|---|\n",
    );
    for r in rows {
        let number = |x: Option<f64>, digits| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.digits$}"));
        let median = match &r.problem {
            Some(problem) => cell(problem),
            None => number(r.median_ms, 3),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {median} | {} | {} | {} |",
            cell(&r.case),
            r.pass,
            cell(&r.candidate),
            number(r.of_floor, 2),
            number(r.of_first, 2),
            number(r.workspace_mib, 1)
        );
    }
}

/// Text that does not end a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}
