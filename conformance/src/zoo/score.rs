//! Scores: what campaigns found, as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use reports::marks::{self, Marks, NoMarks};

use super::record::{Alarms, Hunted, Line, Unchanged};
use super::rules::Rule;
use super::table::{Kind, Mutant, SKELETONS, TEMPLATE, table};
use crate::check::CHECKS;
use crate::suite::Size;

/// Where the whole stands in a document, and where the summary.
const MARKS: [Marks; 2] =
    [["<!-- zoo:begin -->", "<!-- zoo:end -->"], ["<!-- zoo-summary:begin -->", "<!-- zoo-summary:end -->"]];

/// What stands where no record is.
const NO_RECORD: &str = "–";

/// Both tables, in Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scores {
    /// Check by check, what is alive, right answers, fault by fault.
    pub whole: String,
    /// Faults found by suite, and by rules of other projects.
    pub summary: String,
}

/// The lines of all records, sorted.
struct Campaigns<'a> {
    /// The largest suite of each skeleton's hunt.
    suites: BTreeMap<&'a str, &'a str>,
    /// Campaigns whose kernels have changed since.
    outdated: BTreeSet<String>,
    hunted: Vec<&'a Hunted>,
    /// Planted faults of a hunted skeleton that no record speaks of.
    untried: BTreeMap<&'a str, Vec<Mutant>>,
    unchanged: Vec<&'a Unchanged>,
    alarms: Vec<&'a Alarms>,
}

impl Scores {
    /// What the records say.
    #[must_use]
    pub fn of(lines: &[Line]) -> Self {
        let campaigns = Campaigns::of(lines);
        Self { whole: campaigns.whole(), summary: campaigns.summary() }
    }

    /// The document with each table between its marks.
    ///
    /// # Errors
    /// A document with marks for neither.
    pub fn splice(&self, document: &str) -> Result<String, NoMarks> {
        let [whole, summary] = MARKS;
        marks::put(document, [(whole, &self.whole), (summary, &self.summary)])
    }
}

/// What became of a fault, for people who wait.
#[must_use]
pub(super) fn in_a_line(hunted: &Hunted) -> String {
    let Hunted { name, op, seconds, equivalent, .. } = hunted;
    match (&hunted.killed, equivalent) {
        (Some(kill), None) => format!("found  {op}, {name}: {} in {} ({seconds:.1} s)", kill.check, kill.case),
        (Some(kill), Some(_)) => format!("FOUND, though equivalent  {op}, {name}: {} in {}", kill.check, kill.case),
        (None, None) => format!("ALIVE  {op}, {name} ({seconds:.1} s)"),
        (None, Some(_)) => format!("equal  {op}, {name} ({seconds:.1} s)"),
    }
}

impl<'a> Campaigns<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut all = Self {
            suites: BTreeMap::new(),
            outdated: BTreeSet::new(),
            hunted: Vec::new(),
            untried: BTreeMap::new(),
            unchanged: Vec::new(),
            alarms: Vec::new(),
        };
        let (mut hunted, mut right) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            match line {
                Line::Campaign { skeleton, suite, kernels, .. } => {
                    let what = if suite == Size::Soak.name() { "right answers" } else { "faults" };
                    let changed =
                        kernels.iter().filter(|(op, hash)| optimized::kernel_hash(op).as_ref() != Some(*hash));
                    // what computes nothing, or in Python, does not run the kernels
                    let changed = changed.filter(|_| SKELETONS.contains(&skeleton.as_str()));
                    all.outdated.extend(changed.map(|(op, _)| format!("{what} of `{op}`")));
                    // right answers are judged on another suite, and leave no score
                    if suite != Size::Soak.name() {
                        all.suites.insert(skeleton, suite);
                    }
                }
                // what was said last counts: a campaign that was cut off may have gone on
                Line::Hunted(h) => drop(hunted.insert((&h.skeleton, h.kind, &h.op, &h.name), h)),
                Line::Unchanged(u) if u.case.is_some() => drop(right.insert((&u.skeleton, &u.case), u)),
                Line::Unchanged(unchanged) => all.unchanged.push(unchanged),
                Line::Alarms(alarms) => all.alarms.push(alarms),
            }
        }
        all.hunted = hunted.into_values().collect();
        all.unchanged.extend(right.into_values());
        for &skeleton in all.suites.keys() {
            let tried = |m: &Mutant| all.hunted.iter().any(|h| h.skeleton == skeleton && h.name == m.name);
            let planted = table(skeleton).and_then(Result::ok).map_or_else(Vec::new, |table| table.mutants);
            let untried = planted.into_iter().filter(|m| m.equivalent.is_none() && !tried(m)).collect();
            all.untried.insert(skeleton, untried);
        }
        all
    }

    /// Whether a fault that was not found has not been through the whole suite of its campaign.
    fn is_halfway(&self, h: &Hunted) -> bool {
        let asked = self.suites.get(h.skeleton.as_str()).copied();
        h.killed.is_none() && h.equivalent.is_none() && h.through.as_deref().is_some_and(|suite| Some(suite) != asked)
    }

    /// The faults that can be found, of a skeleton and kind.
    fn alive(&self, skeleton: &str, kind: Kind) -> Vec<&Hunted> {
        let mine = |h: &&&Hunted| h.skeleton == skeleton && h.kind == kind && h.equivalent.is_none();
        self.hunted.iter().filter(mine).copied().collect()
    }

    fn summary(&self) -> String {
        let mut text = String::from(
            "| faults | planted | smoke finds | full finds | soak finds | fla's tests | fla's CI | KernelBench | \
             FlashAttention |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for (&skeleton, &suite) in &self.suites {
            for kind in [Kind::Semantic, Kind::Precision] {
                let faults = self.alive(skeleton, kind);
                if faults.is_empty() {
                    continue;
                }
                let untried = self.untried[skeleton].iter().filter(|m| m.kind == kind).count();
                let count = faults.len() + untried;
                let found = |test: &dyn Fn(&Hunted) -> bool| share(faults.iter().filter(|h| test(h)).count(), count);
                let of = |h: &Hunted, size: Size| h.killed.as_ref().is_some_and(|k| k.suite == size.name());
                let told =
                    |told: bool, test: &dyn Fn(&Hunted) -> bool| if told { found(test) } else { NO_RECORD.into() };
                let smoke = found(&|h| of(h, Size::Smoke));
                let full = told(suite != Size::Smoke.name(), &|h| of(h, Size::Smoke) || of(h, Size::Full));
                let soak = told(faults.iter().any(|h| of(h, Size::Soak)), &|h| h.killed.is_some());
                let rules = Rule::ALL.map(|rule| found(&|h| h.rules.contains_key(rule.name()))).join(" | ");
                let what = title(&faults, skeleton, kind);
                let _ = writeln!(text, "| {what} | {count} | {smoke} | {full} | {soak} | {rules} |");
            }
        }
        text.push_str(&self.right_row());
        let _ = writeln!(text, "\n{}", self.remarks());
        text
    }

    /// Kernels without a fault: who rejects them.
    fn right_row(&self) -> String {
        let of_kernels: Vec<&&Unchanged> =
            self.unchanged.iter().filter(|u| SKELETONS.contains(&u.skeleton.as_str())).collect();
        let cases: usize = of_kernels.iter().map(|u| u.cases).sum();
        if cases == 0 {
            return String::new();
        }
        let verdicts: usize = of_kernels.iter().map(|u| u.verdicts).sum();
        let failed: usize = of_kernels.iter().map(|u| u.failed).sum();
        let rejects = |rule: Rule| {
            let cases: usize = of_kernels.iter().filter_map(|u| u.rules.get(rule.name())).sum();
            format!("{cases} cases")
        };
        let rules = Rule::ALL.map(rejects).join(" | ");
        format!("| kernels without a fault, rejected | 0 | {failed} of {verdicts} verdicts | | | {rules} |\n")
    }

    fn remarks(&self) -> String {
        let equivalent = self.hunted.iter().filter(|h| h.equivalent.is_some()).count();
        let mut text = format!(
            "{equivalent} more are equivalent, each with its proof, and do not count. Rules of other projects are \
             applied to the outputs and gradients of the same cases of smoke, against the same truth; a case in which \
             a rule rejects the kernels without a fault does not count for it."
        );
        if self.hunted.iter().filter_map(|h| h.killed.as_ref()).any(|k| k.suite == Size::Soak.name()) {
            text.push_str(" Of soak only the cases of `wide` were put to faults, those that full leaves.");
        }
        let halfway = self.hunted.iter().filter(|h| self.is_halfway(h)).count();
        let untried = halfway + self.untried.values().map(Vec::len).sum::<usize>();
        if untried > 0 {
            let _ = write!(text, " {untried} have not been put to all of it, and count as not found.");
        }
        for alarms in &self.alarms {
            let Alarms { skeleton, source, runs, failed, again, .. } = alarms;
            let bound = match failed {
                0 => format!("fewer than {:.2} % would, with 95 % confidence", 300.0 / (*runs).max(1) as f64),
                _ => format!("{:.2} %", 100.0 * *failed as f64 / (*runs).max(1) as f64),
            };
            let what = if source == "rounded" { "draws of the oracle" } else { "answers of the kernels" };
            let second = if *again > 0 { format!(" ({again} looked at again)") } else { String::new() };
            let _ = write!(text, " Of {runs} right {what} ({skeleton}) {failed} failed{second}: {bound}.");
        }
        if !self.outdated.is_empty() {
            let campaigns = self.outdated.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let _ = write!(text, " The kernels have changed since these were put to them: {campaigns}.");
        }
        text
    }

    fn whole(&self) -> String {
        let mut text = String::from("| check | finds first | finds | alone finds |\n|---|---|---|---|\n");
        let mine: Vec<&&Hunted> = self.hunted.iter().filter(|h| h.equivalent.is_none()).collect();
        for check in CHECKS {
            let count = |test: &dyn Fn(&Hunted) -> bool| mine.iter().filter(|h| test(h)).count();
            let first = count(&|h| h.killed.as_ref().is_some_and(|k| k.check == check.name));
            let any = count(&|h| h.by.iter().any(|k| k.check == check.name));
            let alone = count(&|h| h.by.len() == 1 && h.by[0].check == check.name);
            let _ = writeln!(text, "| {} | {first} | {any} | {alone} |", check.name);
        }
        text.push_str("\n## Alive\n\n");
        let alive: Vec<&&&Hunted> = mine.iter().filter(|h| h.killed.is_none()).collect();
        if alive.is_empty() && self.untried.values().all(Vec::is_empty) {
            text.push_str("None.\n");
        }
        for h in alive {
            let so_far = if self.is_halfway(h) { " (not put to all cases)" } else { "" };
            let _ = writeln!(text, "- `{}`, {}: {}{so_far}", h.op, kind_name(h.kind), h.name);
        }
        for (skeleton, faults) in &self.untried {
            for m in faults {
                let _ = writeln!(text, "- not tried: {skeleton}, {}: {}", kind_name(m.kind), m.name);
            }
        }
        text.push_str("\n## Equivalent\n\n");
        for (h, proof) in self.hunted.iter().filter_map(|h| Some((h, h.equivalent.as_ref()?))) {
            let found = h.killed.as_ref().map_or(String::new(), |k| format!(" (yet {} failed)", k.check));
            let _ = writeln!(text, "- `{}`, {}: {proof}{found}.", h.op, h.name);
        }
        text.push_str("\n## Fault by fault\n\n| op | fault | class | kind | found first | by | wrong |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        for h in &self.hunted {
            let first = h.killed.as_ref().map_or(NO_RECORD.to_owned(), |k| format!("{}, {}", k.check, k.suite));
            let by = h.by.iter().map(|k| k.check.as_str()).collect::<Vec<_>>().join(", ");
            let wrong = h.wrong.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let (op, name, class, kind) = (&h.op, &h.name, &h.class, kind_name(h.kind));
            let _ = writeln!(text, "| {op} | {name} | {class} | {kind} | {first} | {by} | {wrong} |");
        }
        text
    }
}

fn title(faults: &[&Hunted], skeleton: &str, kind: Kind) -> String {
    match faults.first() {
        Some(h) if skeleton == TEMPLATE => format!("`{}` in Python, {}", h.op, kind_name(kind)),
        Some(h) if skeleton != super::NULL => format!("`{}`, {}", h.op, kind_name(kind)),
        _ => format!("candidates that compute nothing, {}", kind_name(kind)),
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Semantic => "semantic",
        Kind::Precision => "precision",
    }
}

fn share(some: usize, all: usize) -> String {
    format!("{some} ({:.0} %)", (100.0 * some as f64 / all.max(1) as f64).floor())
}

#[cfg(test)]
mod tests {
    use super::super::record::Kill;
    use super::*;

    fn hunted(name: &str, suite: Option<&str>, equivalent: Option<&str>) -> Line {
        let [check, case, what] = ["forward", "hgrn(T=1)", "wrong"].map(str::to_owned);
        let killed = suite.map(|s| Kill { check, case, suite: s.to_owned(), what, place: 0 });
        Line::Hunted(Hunted {
            skeleton: "toy".into(),
            op: "hgrn".into(),
            name: name.into(),
            class: "c".into(),
            kind: Kind::Semantic,
            equivalent: equivalent.map(str::to_owned),
            by: killed.iter().cloned().collect(),
            killed,
            through: None,
            rules: BTreeMap::from([("fla".to_owned(), "hgrn(T=1)".to_owned())]),
            wrong: BTreeSet::new(),
            seconds: 1.0,
        })
    }

    #[test]
    fn faults_are_counted_by_suite_and_equivalent_ones_are_not() {
        let lines = [
            Line::campaign("toy", &["hgrn"], "full"),
            hunted("a", Some("smoke"), None),
            hunted("b", Some("full"), None),
            hunted("c", Some("soak"), None),
            hunted("e", None, None),
            hunted("f", None, None),
            hunted("d", None, Some("for a reason")),
        ];
        let scores = Scores::of(&lines);
        assert!(
            scores.summary.contains("| `hgrn`, semantic | 5 | 1 (20 %) | 2 (40 %) | 3 (60 %) | 5 (100 %) |"),
            "{}",
            scores.summary
        );
        assert!(scores.summary.contains("1 more are equivalent"), "{}", scores.summary);
        assert!(!scores.summary.contains("not been put to"), "{}", scores.summary);
        assert!(scores.whole.contains("| forward | 3 | 3 | 3 |"), "{}", scores.whole);
        assert!(scores.whole.contains("- `hgrn`, semantic: e\n"), "{}", scores.whole);
        let smoke = Scores::of(&[Line::campaign("toy", &["hgrn"], "smoke"), hunted("a", None, None)]);
        assert!(smoke.summary.contains("| 1 | 0 (0 %) | – | – |"), "{}", smoke.summary);
    }

    #[test]
    fn what_was_said_last_counts() {
        let Line::Hunted(first) = hunted("a", None, None) else { unreachable!() };
        let halfway = Line::Hunted(Hunted { through: Some("smoke".into()), ..first });
        let lines = [Line::campaign("toy", &["hgrn"], "full"), halfway];
        let scores = Scores::of(&lines);
        assert!(scores.summary.contains(" 1 have not been put to all of it"), "{}", scores.summary);
        assert!(scores.whole.contains("semantic: a (not put to all cases)\n"), "{}", scores.whole);
        let scores = Scores::of(&[&lines[..], &[hunted("a", Some("full"), None)]].concat());
        assert!(scores.summary.contains("| `hgrn`, semantic | 1 | 0 (0 %) | 1 (100 %) | – |"), "{}", scores.summary);
        let right = |case: Option<&str>, failed| {
            let (skeleton, case, rules) = ("scan".to_owned(), case.map(str::to_owned), BTreeMap::new());
            let (failing, passed) = (Vec::new(), BTreeSet::new());
            Line::Unchanged(Unchanged { skeleton, case, cases: 1, verdicts: 2, failed, failing, rules, passed })
        };
        let lines = [right(None, 0), right(Some("a"), 1), right(Some("b"), 0), right(Some("b"), 0)];
        assert!(Scores::of(&lines).summary.contains("| 1 of 6 verdicts |"), "{}", Scores::of(&lines).summary);
    }

    #[test]
    fn a_planted_fault_that_nobody_tried_counts_as_not_found() {
        let planted = table("scan").expect("it exists").expect("it parses").mutants;
        let count = planted.iter().filter(|m| m.equivalent.is_none() && m.kind == Kind::Semantic).count();
        let Line::Hunted(first) = hunted("a", Some("smoke"), None) else { unreachable!() };
        let first = Line::Hunted(Hunted { skeleton: "scan".into(), ..first });
        let scores = Scores::of(&[Line::campaign("scan", &["hgrn"], "smoke"), first]);
        assert!(scores.summary.contains(&format!("| {} | 1 (1 %) |", count + 1)), "{}", scores.summary);
        assert!(scores.whole.contains("- not tried: scan, semantic: "), "{}", scores.whole);
    }

    #[test]
    fn scores_go_between_the_marks() {
        let scores = Scores { whole: "| all |\n".into(), summary: "| few |\n".into() };
        let document = "a\n<!-- zoo-summary:begin -->\nold\n<!-- zoo-summary:end -->\nz\n";
        let spliced = scores.splice(document).expect("there is a place");
        assert_eq!(spliced, "a\n<!-- zoo-summary:begin -->\n| few |\n<!-- zoo-summary:end -->\nz\n");
        assert_eq!(scores.splice(&spliced), Ok(spliced.clone()));
        assert!(scores.splice("nothing").is_err());
    }
}
