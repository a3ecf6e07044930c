//! The support table: what was verified where, and never more than the records hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::record::Run;
use crate::summary::Summary;

/// One op of the table.
#[derive(Debug, Clone)]
pub struct SupportRow {
    /// Op.
    pub op: String,
    /// The recurrence in a line.
    pub summary: String,
    /// How many cases and checks each suite has for the op: less is not the suite.
    pub trials: BTreeMap<&'static str, usize>,
}

/// Where the table stands in a document.
const MARKS: [&str; 2] = ["<!-- support:begin -->", "<!-- support:end -->"];

/// What stands where no record is.
const NO_RECORD: &str = "–";

/// Suites, the largest first: a record of a larger suite says more.
const SUITES: [&str; 3] = ["soak", "full", "smoke"];

/// A document without the marks between which the table stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document has no lines {begin:?} and {end:?}, in this order")]
pub struct NoMarks {
    begin: &'static str,
    end: &'static str,
}

/// The table in Markdown: a row for each op that some record judges, a column for each candidate that the records name; the
/// other ops in a sentence.
///
/// `kernels` is the hash of the kernel sources in the tree. A candidate with kernels of ours is *verified* only for
/// that very hash, else *stale*; a foreign candidate is reported as it was judged.
#[must_use]
pub fn support_table(ops: &[SupportRow], runs: &[Run], kernels: &str) -> String {
    let mut candidates: Vec<&str> = Vec::new();
    for run in runs.iter().filter(|r| !r.judged.is_empty()) {
        if !candidates.contains(&run.candidate.name.as_str()) {
            candidates.push(&run.candidate.name);
        }
    }
    candidates.sort_by_key(|name| (["cpu", "cuda", "hip"].iter().position(|n| n == name).unwrap_or(9), *name));
    let mut table = String::from("| op |");
    for name in &candidates {
        let _ = write!(table, " {name} |");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(candidates.len()));
    table.push('\n');
    let mut unjudged = Vec::new();
    for row in ops {
        let cells: Vec<String> = candidates.iter().map(|name| cell(row, name, runs, kernels)).collect();
        if cells.iter().all(|c| c == NO_RECORD) {
            unjudged.push(format!("`{}`", row.op));
            continue;
        }
        let _ = writeln!(table, "| `{}`<br>{} | {} |", row.op, row.summary.replace('|', "\\|"), cells.join(" | "));
    }
    if !unjudged.is_empty() {
        let _ = writeln!(
            table,
            "\nThe oracle knows {} more, of which no record is here yet: {}.",
            unjudged.len(),
            unjudged.join(", ")
        );
    }
    table
}

fn cell(row: &SupportRow, candidate: &str, runs: &[Run], kernels: &str) -> String {
    let mine = |run: &&Run| run.candidate.name == candidate;
    for suite in SUITES {
        // the newest record of the largest suite speaks
        let latest = runs
            .iter()
            .filter(mine)
            .filter_map(|run| Some((run, tally(run, &row.op, suite)?)))
            .max_by(|(a, _), (b, _)| a.environment.date.cmp(&b.environment.date));
        let Some((run, tally)) = latest else { continue };
        let whole = row.trials.get(suite).is_some_and(|&n| tally.total() == n);
        let fine = whole && tally.as_expected() && tally.waived == 0;
        let place = format!("{}, {suite}, {}", run.candidate.device, run.environment.date);
        return match &run.candidate.kernels {
            Some(hash) if hash != kernels => format!("stale ({place})"),
            Some(_) if fine => format!("verified ({place})"),
            _ if fine => format!("passed ({place})"),
            _ => {
                let part = if whole { "" } else { "part of " };
                let (passed, failed, skipped) = (tally.passed, tally.failed, tally.skipped());
                format!("{passed} passed, {failed} failed, {skipped} skipped ({part}{place})")
            }
        };
    }
    NO_RECORD.to_owned()
}

/// The counts of one op in one suite; `None` when the run judged none of it, or passed nothing.
fn tally(run: &Run, op: &str, suite: &str) -> Option<Summary> {
    let mut cases = run.judged.iter().filter(|j| j.op == op && j.suite == suite).peekable();
    cases.peek()?;
    let counts = cases.fold(Summary::default(), Summary::with);
    (counts.passed + counts.failed > 0).then_some(counts)
}

/// The document with the table between its marks.
///
/// # Errors
/// [`NoMarks`].
pub fn splice(document: &str, table: &str) -> Result<String, NoMarks> {
    let [begin, end] = MARKS;
    let none = || NoMarks { begin, end };
    let start = document.find(begin).ok_or_else(none)? + begin.len();
    let stop = document.get(start..).and_then(|rest| rest.find(end)).ok_or_else(none)? + start;
    Ok(format!("{}\n{table}{}", &document[..start], &document[stop..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Environment, Expected, Identity, Judged};
    use crate::verdict::{Fault, Verdict};

    fn run(name: &str, kernels: Option<&str>, verdict: Verdict) -> Run {
        let [device, version] = ["H200", "1"].map(str::to_owned);
        let candidate = Identity { name: name.into(), version, device, kernels: kernels.map(str::to_owned) };
        let environment = Environment { date: "2026-11-24".into(), ..Environment::default() };
        let [op, case, check, suite, ran] = ["hgrn", "hgrn(T=1)", "forward", "full", ""].map(str::to_owned);
        let judged = vec![Judged { op, case, check, suite, verdict, expected: Expected::Pass, seconds: 0.0, ran }];
        Run { candidate, environment, judged, timed: vec![] }
    }

    fn table(run: Run) -> String {
        let row = SupportRow { op: "hgrn".into(), summary: "h".into(), trials: BTreeMap::from([("full", 1)]) };
        support_table(&[row], &[run], "abc")
    }

    #[test]
    fn only_the_very_sources_are_verified() {
        let pass = || Verdict::Pass { measures: vec![] };
        assert!(table(run("cuda", Some("abc"), pass())).contains("verified (H200, full, 2026-11-24)"));
        let old = table(run("cuda", Some("def"), pass()));
        assert!(old.contains("stale") && !old.contains("verified"));
        assert!(!table(run("fla", None, pass())).contains("verified"));
    }

    #[test]
    fn a_part_of_a_suite_is_not_the_suite() {
        let mut twice = run("cuda", Some("abc"), Verdict::Pass { measures: vec![] });
        twice.judged.push(twice.judged[0].clone());
        assert!(table(twice).contains("2 passed, 0 failed, 0 skipped (part of H200, full"));
    }

    #[test]
    fn a_failure_or_a_skip_is_never_verified() {
        let fail = Verdict::Fail { fault: Fault::Hang { seconds: 1.0 }, call: 0 };
        assert!(table(run("cuda", Some("abc"), fail)).contains("0 passed, 1 failed"));
        let declined = Verdict::Declined { reason: "no".into() };
        assert!(!table(run("cuda", Some("abc"), declined)).contains("verified"));
    }

    #[test]
    fn what_nobody_judged_is_named_below() {
        let declined = Verdict::Declined { reason: "no".into() };
        let text = table(run("cuda", Some("abc"), declined));
        assert!(
            text.contains("The oracle knows 1 more") && text.contains("`hgrn`") && !text.contains("| `hgrn`"),
            "{text}"
        );
    }

    #[test]
    fn the_table_replaces_what_stood_between_the_marks() {
        let document = "a\n<!-- support:begin -->\nold\n<!-- support:end -->\nz\n";
        let new = splice(document, "| new |\n").expect("the marks are there");
        assert_eq!(new, "a\n<!-- support:begin -->\n| new |\n<!-- support:end -->\nz\n");
        assert_eq!(splice(&new, "| new |\n"), Ok(new.clone()));
        assert!(splice("nothing", "x").is_err());
    }
}
