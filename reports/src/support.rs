//! The support table: what was verified where, and never more than the records hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::marks::{self, Marks, NoMarks};
use crate::record::{Judged, Run};
use crate::summary::Summary;

/// One row of the table: an op, module, layer or model.
#[derive(Debug, Clone)]
pub struct SupportRow {
    /// `op`, `module`, `layer` or `model`.
    pub level: &'static str,
    /// Name of the spec.
    pub op: String,
    /// What it computes, in a line.
    pub summary: String,
    /// The hash of the sources that our kernels for it are made of in this tree.
    pub kernels: Option<String>,
    /// The cases and checks that each suite has for it: less is not the suite, and what is no more of it does not
    /// count.
    pub trials: BTreeMap<&'static str, BTreeSet<Trial>>,
}

/// A case and a check.
pub type Trial = (String, &'static str);

/// Where the whole table stands in a document, and where the counts of it.
const MARKS: [Marks; 2] = [
    ["<!-- support:begin -->", "<!-- support:end -->"],
    ["<!-- support-summary:begin -->", "<!-- support-summary:end -->"],
];

/// The head of the summary.
const SUMMARY: &str = "\
     | specs | implementation | suite | judged | in whole | without fault | stale | passed | failed | skipped |\n\
     |---|---|---|---|---|---|---|---|---|---|\n";

/// What stands where no record is.
const NO_RECORD: &str = "–";

/// Suites, the largest first: a record of a larger suite says more, and says it for itself.
const SUITES: [&str; 3] = ["soak", "full", "smoke"];

/// Both tables, in Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// For each level, a row for each spec that some record judges, a column for each candidate that judges one there;
    /// the other specs in a sentence.
    pub whole: String,
    /// For each level, candidate and suite how many specs were judged, and how many cases and checks went how.
    pub summary: String,
}

/// What the records hold of these specs.
///
/// A candidate with kernels of ours is *verified* only for the very sources in the tree, else *stale*; a foreign
/// candidate is reported as it was judged.
#[must_use]
pub fn support(rows: &[SupportRow], runs: &[Run]) -> Support {
    let candidates = candidates(runs);
    let mut levels: Vec<&str> = rows.iter().map(|r| r.level).collect();
    levels.dedup();
    let mut support = Support { whole: String::new(), summary: SUMMARY.to_owned() };
    for level in levels {
        let rows: Vec<&SupportRow> = rows.iter().filter(|r| r.level == level).collect();
        let column = |name| Column { name, cells: rows.iter().map(|row| Cell::all(row, name, runs)).collect() };
        let mut columns: Vec<Column<'_>> = candidates.iter().map(|name| column(name)).collect();
        columns.retain(|c| c.cells.iter().any(|cells| !cells.is_empty()));
        support.whole += &table(level, &rows, &columns);
        for counts in columns.iter().flat_map(Column::counts) {
            let _ = writeln!(support.summary, "| {} {level}s | {counts} |", rows.len());
        }
    }
    support
}

/// Candidates that judged something, ours first.
fn candidates(runs: &[Run]) -> Vec<&str> {
    let mut candidates: Vec<&str> = Vec::new();
    for run in runs.iter().filter(|r| !r.judged.is_empty()) {
        if !candidates.contains(&run.candidate.name.as_str()) {
            candidates.push(&run.candidate.name);
        }
    }
    candidates.sort_by_key(|name| (["cpu", "cuda", "hip"].iter().position(|n| n == name).unwrap_or(9), *name));
    candidates
}

/// One level of the whole table.
fn table(level: &str, rows: &[&SupportRow], columns: &[Column<'_>]) -> String {
    let mut table = format!("\n### {level}s\n\n");
    if !columns.is_empty() {
        let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
        let _ = writeln!(table, "| {level} | {} |\n|---|{}", names.join(" | "), "---|".repeat(names.len()));
    }
    let mut unjudged = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        if columns.iter().all(|c| c.cells[i].is_empty()) {
            unjudged.push(format!("`{}`", row.op));
            continue;
        }
        let cells: Vec<String> = columns.iter().map(|c| c.text(i)).collect();
        let _ = writeln!(table, "| `{}`<br>{} | {} |", row.op, row.summary.replace('|', "\\|"), cells.join(" | "));
    }
    if !unjudged.is_empty() {
        let (n, names) = (unjudged.len(), unjudged.join(", "));
        let _ = writeln!(table, "\nThe oracle knows {n} more, of which no record is here yet: {names}.");
    }
    table
}

/// What the records say about one candidate at one level.
struct Column<'a> {
    name: &'a str,
    /// For each spec of the level one for each suite with a record, the largest first.
    cells: Vec<Vec<Cell<'a>>>,
}

impl Column<'_> {
    /// Its rows of the summary, one for each suite with a record, from the candidate's name on.
    fn counts(&self) -> Vec<String> {
        SUITES.into_iter().filter_map(|suite| self.count(suite)).collect()
    }

    fn count(&self, suite: &str) -> Option<String> {
        let cells: Vec<&Cell<'_>> = self.cells.iter().flatten().filter(|c| c.suite == suite).collect();
        let sum = |f: fn(&Summary) -> usize| cells.iter().map(|c| f(&c.tally)).sum::<usize>();
        let fine = cells.iter().filter(|c| c.fine() && !c.stale).count();
        let whole = cells.iter().filter(|c| c.whole).count();
        let stale = cells.iter().filter(|c| c.stale).count();
        let (passed, failed, skipped) = (sum(|t| t.passed), sum(|t| t.failed), sum(Summary::skipped));
        let judged = cells.len();
        let counts = format!("{judged} | {whole} | {fine} | {stale} | {passed} | {failed} | {skipped}");
        (judged > 0).then(|| format!("{} | {suite} | {counts}", self.name))
    }

    /// What the table says of one spec: of the largest suite with a record, and where that is a part, of the next too.
    fn text(&self, spec: usize) -> String {
        let cells = &self.cells[spec];
        let enough = cells.iter().position(|c| c.whole).map_or(cells.len(), |whole| whole + 1);
        let texts: Vec<String> = cells[..enough].iter().map(Cell::text).collect();
        if texts.is_empty() { NO_RECORD.to_owned() } else { texts.join("<br>") }
    }
}

/// What the records of one suite say about one spec and one candidate.
struct Cell<'a> {
    /// Whether the kernels are ours.
    ours: bool,
    /// Whether they are ours and not those in the tree.
    stale: bool,
    date: &'a str,
    devices: BTreeSet<&'a str>,
    suite: &'static str,
    tally: Summary,
    whole: bool,
}

impl<'a> Cell<'a> {
    /// Of each suite with a record, the largest first.
    fn all(row: &SupportRow, name: &str, runs: &'a [Run]) -> Vec<Self> {
        SUITES.into_iter().filter_map(|suite| Self::of(row, name, runs, suite)).collect()
    }

    /// `None` without a record. Of several about one case and check the newest speaks.
    fn of(row: &SupportRow, name: &str, runs: &'a [Run], suite: &'static str) -> Option<Self> {
        let trials = row.trials.get(suite)?;
        let of_suite = |j: &&'a Judged| j.op == row.op && j.suite == suite;
        let mut mine: Vec<&Run> =
            runs.iter().filter(|run| run.candidate.name == name && run.judged.iter().any(|j| of_suite(&j))).collect();
        // of one day's, those of the sources in the tree are the newest
        let current = |run: &Run| run.candidate.kernels.get(&row.op) == row.kernels.as_ref();
        mine.sort_by_key(|run| (&run.environment.date, current(run)));
        let newest = *mine.last()?;
        let mut judged: BTreeMap<(&str, &str), &Judged> = BTreeMap::new();
        let mut devices = BTreeSet::new();
        let kernels = newest.candidate.kernels.get(&row.op);
        for run in mine.iter().filter(|run| run.candidate.kernels.get(&row.op) == kernels) {
            for j in run.judged.iter().filter(of_suite) {
                judged.insert((&j.case, &j.check), j);
                devices.insert(run.candidate.device.as_str());
            }
        }
        let current = trials.iter().filter_map(|(case, check)| judged.get(&(case.as_str(), *check)).copied());
        let tally = current.fold(Summary::default(), Summary::with);
        (tally.passed + tally.failed > 0).then(|| Self {
            ours: kernels.is_some(),
            stale: kernels.is_some() && kernels != row.kernels.as_ref(),
            date: &newest.environment.date,
            devices,
            suite,
            tally,
            whole: tally.total() == trials.len(),
        })
    }

    /// Whether the whole suite passed.
    fn fine(&self) -> bool {
        self.whole && self.tally.as_expected() && self.tally.waived == 0
    }

    fn text(&self) -> String {
        let devices = self.devices.iter().copied().collect::<Vec<_>>().join(" and ");
        let place = format!("{devices}, {}, {}", self.suite, self.date);
        match (self.stale, self.ours) {
            (true, _) => format!("stale ({place})"),
            (false, true) if self.fine() => format!("verified ({place})"),
            (false, false) if self.fine() => format!("passed ({place})"),
            _ => {
                let part = if self.whole { "" } else { "part of " };
                let (passed, failed, skipped) = (self.tally.passed, self.tally.failed, self.tally.skipped());
                format!("{passed} passed, {failed} failed, {skipped} skipped ({part}{place})")
            }
        }
    }
}

impl Support {
    /// The document with each table between its marks.
    ///
    /// # Errors
    /// A document with marks for neither.
    pub fn splice(&self, document: &str) -> Result<String, NoMarks> {
        let [whole, summary] = MARKS;
        marks::put(document, [(whole, &self.whole), (summary, &self.summary)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Environment, Expected, Identity, Judged};
    use crate::verdict::{Fault, Verdict};

    fn run(name: &str, kernels: Option<&str>, verdict: Verdict) -> Run {
        let [device, version] = ["H200", "1"].map(str::to_owned);
        let kernels = kernels.map(|hash| ("hgrn".to_owned(), hash.to_owned())).into_iter().collect();
        let candidate = Identity { name: name.into(), version, device, kernels };
        let environment = Environment { date: "2026-11-24".into(), ..Environment::default() };
        let [op, case, check, suite, ran] = ["hgrn", "hgrn(T=1)", "forward", "full", ""].map(str::to_owned);
        let judged = vec![Judged { op, case, check, suite, verdict, expected: Expected::Pass, seconds: 0.0, ran }];
        Run { candidate, environment, judged, timed: vec![] }
    }

    fn table(run: Run) -> String {
        support(&[row("op", "hgrn")], &[run]).whole
    }

    fn row(level: &'static str, op: &str) -> SupportRow {
        let trials = BTreeMap::from([("full", BTreeSet::from([("hgrn(T=1)".into(), "forward")]))]);
        SupportRow { level, op: op.into(), summary: "h".into(), kernels: Some("abc".into()), trials }
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
        let pass = || run("cuda", Some("abc"), Verdict::Pass { measures: vec![] });
        let mut row = row("op", "hgrn");
        row.trials.get_mut("full").expect("there is one").insert(("hgrn(T=2)".into(), "forward"));
        let table = |runs: &[Run]| support(std::slice::from_ref(&row), runs).whole;
        assert!(table(&[pass()]).contains("1 passed, 0 failed, 0 skipped (part of H200, full"));
        let mut other = pass();
        other.judged[0].case = "hgrn(T=2)".into();
        other.candidate.device = "H100".into();
        assert!(table(&[pass(), other.clone()]).contains("verified (H100 and H200, full"), "records add up");
        other.candidate.kernels.insert("hgrn".into(), "def".into());
        other.environment.date = "2026-11-23".into();
        assert!(table(&[other, pass()]).contains("part of H200"), "those of other kernels do not");
    }

    #[test]
    fn what_is_no_more_of_the_suite_does_not_count() {
        let mut old = run("cuda", Some("abc"), Verdict::Fail { fault: Fault::Hang { seconds: 1.0 }, call: 0 });
        old.judged[0].case = "hgrn(T=9)".into();
        let pass = run("cuda", Some("abc"), Verdict::Pass { measures: vec![] });
        assert!(support(&[row("op", "hgrn")], &[old, pass]).whole.contains("verified (H200, full"));
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
    fn the_summary_counts_what_the_table_says() {
        let rows = [row("op", "hgrn"), row("op", "gla"), row("layer", "gla_layer")];
        let summary = |kernels| {
            let run = run("cuda", Some(kernels), Verdict::Pass { measures: vec![] });
            support(&rows, &[run]).summary
        };
        let lines = |text: String| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(summary("abc")), ["| 2 ops | cuda | full | 1 | 1 | 1 | 0 | 1 | 0 | 0 |"]);
        assert_eq!(lines(summary("def")), ["| 2 ops | cuda | full | 1 | 1 | 0 | 1 | 1 | 0 | 0 |"]);
    }

    #[test]
    fn a_part_of_a_larger_suite_does_not_hide_a_smaller_one_in_whole() {
        let pass = || run("cuda", Some("abc"), Verdict::Pass { measures: vec![] });
        let mut row = row("op", "hgrn");
        let mut smoke = pass();
        smoke.judged[0].suite = "smoke".into();
        row.trials.insert("smoke", row.trials["full"].clone());
        let said = |row: &SupportRow| support(std::slice::from_ref(row), &[pass(), smoke.clone()]);
        assert!(!said(&row).whole.contains("smoke"), "the larger one says it all");
        row.trials.get_mut("full").expect("there is one").insert(("hgrn(T=2)".into(), "forward"));
        let both =
            "1 passed, 0 failed, 0 skipped (part of H200, full, 2026-11-24)<br>verified (H200, smoke, 2026-11-24)";
        assert!(said(&row).whole.contains(both), "{}", said(&row).whole);
        let counts =
            "| 1 ops | cuda | full | 1 | 0 | 0 | 0 | 1 | 0 | 0 |\n| 1 ops | cuda | smoke | 1 | 1 | 1 | 0 | 1 | 0 | 0 |";
        assert!(said(&row).summary.contains(counts), "{}", said(&row).summary);
    }

    #[test]
    fn the_tables_replace_what_stood_between_the_marks() {
        let support = Support { whole: "| new |\n".into(), summary: "| few |\n".into() };
        let document = "a\n<!-- support:begin -->\nold\n<!-- support:end -->\nz\n";
        let new = support.splice(document).expect("the marks are there");
        assert_eq!(new, "a\n<!-- support:begin -->\n| new |\n<!-- support:end -->\nz\n");
        assert_eq!(support.splice(&new), Ok(new.clone()));
        let both = format!("<!-- support-summary:begin -->x<!-- support-summary:end -->{document}");
        let both = support.splice(&both).expect("the marks are there");
        assert!(both.contains("begin -->\n| few |\n<!-- support-summary") && both.contains("| new |"), "{both}");
        assert!(support.splice("nothing").is_err());
    }
}
