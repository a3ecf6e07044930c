//! The speed table: what was timed, side by side, and never more than the records hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::marks::{self, Marks, NoMarks};
use crate::record::{Run, Timed};

/// Between which lines of a document the summary stands, and all rows.
const MARKS: [Marks; 2] =
    [["<!-- speed-summary:begin -->", "<!-- speed-summary:end -->"], ["<!-- speed:begin -->", "<!-- speed:end -->"]];

/// Marks a ratio to a time that was not taken in the same run.
const ELSEWHERE: &str = " ◦";

/// Marks a time of kernels whose sources have changed since.
const STALE: &str = " †";

const NO_RECORD: &str = "–";

const PASSES: [&str; 2] = ["forward", "forward+backward"];

/// What is known of the ops in this tree.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Hashes of the kernel sources, by op.
    pub kernels: BTreeMap<String, String>,
    /// What an op's kernels ask of memory beside inputs and outputs, in words.
    pub memory: BTreeMap<String, Vec<String>>,
    /// The cases of the summary.
    pub headline: BTreeSet<String>,
}

/// The tables in Markdown: a section for each device, a row for each case that kernels of ours were timed at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speed {
    /// The cases of published comparisons.
    pub summary: String,
    /// All cases, op by op.
    pub whole: String,
}

/// Both tables, from records and what is in the tree.
#[must_use]
pub fn speed(runs: &[Run], tree: &Tree) -> Speed {
    let mut devices: Vec<&str> =
        runs.iter().filter(|r| own(r) && !r.timed.is_empty()).map(|r| r.candidate.device.as_str()).collect();
    devices.sort_unstable();
    devices.dedup();
    let each = |section: fn(&str, &[&Run], &Tree) -> String| {
        let of = |device: &&str| -> Vec<&Run> { runs.iter().filter(|r| r.candidate.device == **device).collect() };
        devices.iter().map(|device| section(device, &of(device), tree)).collect()
    };
    Speed { summary: each(summary), whole: each(whole) }
}

impl Speed {
    /// The document with each table between its marks.
    ///
    /// # Errors
    /// A document with marks for neither.
    pub fn splice(&self, document: &str) -> Result<String, NoMarks> {
        let [summary, whole] = MARKS;
        marks::put(document, [(summary, &self.summary), (whole, &self.whole)])
    }
}

/// Whether the kernels are ours, on a GPU.
fn own(run: &Run) -> bool {
    matches!(run.candidate.name.as_str(), "cuda" | "hip") && !run.candidate.kernels.is_empty()
}

fn summary(device: &str, runs: &[&Run], tree: &Tree) -> String {
    let rows: Vec<_> = rows(runs).into_iter().filter(|(_, case)| tree.headline.contains(*case)).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n**{device}**\n\n\
         | op, case | forward, × floor | ÷ best peer | forward and backward, × floor | ÷ best peer | \
         memory beside inputs and outputs | ÷ fla | error, ours / fla |\n|---|---|---|---|---|---|---|---|\n"
    );
    for (op, case) in rows {
        let [forward, both] = PASSES.map(|pass| Compared::of(runs, case, pass, tree.kernels.get(op)));
        let (times, memory) = ([forward.time(), forward.ratio(), both.time(), both.ratio()], both.memory());
        let cells: Vec<String> = times.into_iter().chain(memory).chain([both.error(&forward)]).collect();
        let _ = writeln!(text, "| `{op}` {} | {} |", label(case), cells.join(" | "));
    }
    text
}

fn whole(device: &str, runs: &[&Run], tree: &Tree) -> String {
    let (mut text, mut last) = (format!("\n## {device}\n"), "");
    for (op, case) in rows(runs) {
        if op != last {
            let _ = writeln!(text, "\n### `{op}`\n");
            for line in tree.memory.get(op).into_iter().flatten() {
                let _ = writeln!(text, "Workspace: {line}\n");
            }
            text.push_str(
                "| case | forward, ms | × floor | ÷ best peer | forward and backward, ms | × floor | ÷ best peer | \
                 workspace forward | of both | ÷ fla | error, ours / fla | host, µs | first call, s |\n\
                 |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
            );
            last = op;
        }
        let [forward, both] = PASSES.map(|pass| Compared::of(runs, case, pass, tree.kernels.get(op)));
        let times = [&forward, &both].map(|c| [c.milliseconds(), c.time(), c.ratio()]).concat();
        let [of_both, fla] = both.memory();
        let memory = [forward.memory()[0].clone(), of_both, fla, both.error(&forward)];
        let calls = [forward.host(), both.first_call(&forward)];
        let _ = writeln!(text, "| {} | {} |", label(case), [&times[..], &memory, &calls].concat().join(" | "));
    }
    text
}

/// Ops and cases of ours, sorted by op, each once.
fn rows<'a>(runs: &[&'a Run]) -> Vec<(&'a str, &'a str)> {
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for timed in runs.iter().filter(|r| own(r)).flat_map(|r| &r.timed).filter(|t| median(t).is_some()) {
        if !rows.contains(&(&timed.op, &timed.case)) {
            rows.push((&timed.op, &timed.case));
        }
    }
    rows.sort_by_key(|row| row.0);
    rows
}

/// The middle of the times; `None` when there are none, or when what was timed is not right.
pub(crate) fn median(timed: &Timed) -> Option<f64> {
    if !timed.checked || timed.problem.is_some() {
        return None;
    }
    let mut times = timed.times_ns.clone();
    times.sort_by(f64::total_cmp);
    let (low, high) = (times.get(times.len().checked_sub(1)? / 2)?, times.get(times.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// One candidate's record of a case and pass, and its median.
type Entry<'a> = (&'a Run, &'a Timed, f64);

/// Ours beside what others took for the same.
struct Compared<'a> {
    own: Option<Entry<'a>>,
    /// What the same sources of ours took in any run.
    alike: Vec<Entry<'a>>,
    peers: Vec<Entry<'a>>,
    stale: bool,
}

impl<'a> Compared<'a> {
    fn of(runs: &[&'a Run], case: &str, pass: &str, current: Option<&String>) -> Self {
        let mut entries: BTreeMap<&str, Vec<Entry<'a>>> = BTreeMap::new();
        let op = case.split('(').next().unwrap_or(case);
        let mut by_date = runs.to_vec();
        // of one day's, those of the sources in the tree are the newest
        by_date.sort_by_key(|r| (&r.environment.date, r.candidate.kernels.get(op) == current));
        for run in by_date {
            for timed in run.timed.iter().filter(|t| t.case == case && t.pass == pass) {
                if let Some(ns) = median(timed) {
                    entries.entry(&run.candidate.name).or_default().push((run, timed, ns));
                }
            }
        }
        let own = entries.values().filter_map(|all| all.last()).find(|(run, ..)| own(run)).copied();
        let sources = |entry: &Entry<'a>| entry.0.candidate.kernels.get(op);
        let same =
            |entry: &Entry<'a>| own.is_some_and(|own| sources(entry).is_some() && sources(entry) == sources(&own));
        let alike: Vec<Entry<'a>> = entries.values().flatten().filter(|entry| same(entry)).copied().collect();
        let peers = entries.values().filter_map(|all| peer(all, &alike)).collect();
        let stale = own.is_some_and(|(run, timed, _)| run.candidate.kernels.get(&timed.op) != current);
        Self { own, alike, peers, stale }
    }

    fn milliseconds(&self) -> String {
        self.own.map_or(NO_RECORD.into(), |(.., ns)| format!("{:.3}", ns / 1e6))
    }

    /// Microseconds in which a call is queued, after the first.
    fn host(&self) -> String {
        let ns = self.own.and_then(|(_, timed, _)| timed.host_ns);
        ns.map_or(NO_RECORD.into(), |ns| format!("{:.1}", ns / 1e3))
    }

    /// Seconds of the first call of this kind: of this pass, else of the other.
    fn first_call(&self, other: &Self) -> String {
        let of = |c: &Self| c.own.and_then(|(_, timed, _)| timed.first_call_ns);
        of(self).or_else(|| of(other)).map_or(NO_RECORD.into(), |ns| format!("{:.1}", ns / 1e9))
    }

    fn time(&self) -> String {
        let floors = self.own.and_then(|(_, timed, ns)| Some(ns / timed.floor_ns?));
        floors.map_or(NO_RECORD.into(), |x| format!("{x:.2}{}", if self.stale { STALE } else { "" }))
    }

    /// Ours over the fastest other one, and who that is.
    fn ratio(&self) -> String {
        let best = self.peers.iter().min_by(|a, b| a.2.total_cmp(&b.2));
        let (Some(own), Some(peer)) = (self.own, best) else { return NO_RECORD.into() };
        let beside = self.alike.iter().rev().find(|entry| elsewhere(**entry, *peer).is_empty());
        let own = beside.copied().unwrap_or(own);
        format!("{:.2} ({}){}", own.2 / peer.2, peer.0.candidate.name, elsewhere(own, *peer))
    }

    fn fla(&self) -> Option<Entry<'a>> {
        self.peers.iter().find(|(run, ..)| run.candidate.name == "fla-chunk").copied()
    }

    /// Bytes, and over fla's.
    fn memory(&self) -> [String; 2] {
        let workspace = |entry: Option<Entry<'_>>| entry.and_then(|(_, timed, _)| timed.workspace_bytes);
        let own = workspace(self.own);
        let pair = own.zip(workspace(self.fla())).filter(|(_, theirs)| *theirs > 0);
        [
            own.map_or(NO_RECORD.into(), mebibytes),
            pair.map_or(NO_RECORD.into(), |(own, theirs)| format!("{:.3}", own as f64 / theirs as f64)),
        ]
    }

    /// Greatest root mean square of an output or gradient at the small case, in units of the floor: of this pass, else
    /// of the other.
    fn error(&self, other: &Self) -> String {
        let worst = |entry: Option<Entry<'_>>| {
            let (_, timed, _) = entry?;
            timed.errors.iter().map(|m| m.error).reduce(f64::max)
        };
        let of = |own, theirs| worst(own).or_else(|| worst(theirs));
        let text = |x: Option<f64>| x.map_or(NO_RECORD.into(), |x| format!("{x:.2}"));
        match (of(self.own, other.own), of(self.fla(), other.fla())) {
            (None, None) => NO_RECORD.into(),
            (own, fla) => format!("{} / {}", text(own), text(fla)),
        }
    }
}

/// What speaks for a peer: of its newest day, what was timed beside ours, else the fastest.
fn peer<'a>(all: &[Entry<'a>], ours: &[Entry<'a>]) -> Option<Entry<'a>> {
    let (newest, ..) = all.last().filter(|(run, ..)| run.candidate.kernels.is_empty())?;
    let of_day = || all.iter().filter(|(run, ..)| run.environment.date == newest.environment.date);
    let beside = of_day().rfind(|entry| ours.iter().any(|own| elsewhere(*own, **entry).is_empty()));
    beside.or_else(|| of_day().min_by(|a, b| a.2.total_cmp(&b.2))).copied()
}

/// One run has one command and one day, whoever was timed in it.
fn elsewhere((own, ..): Entry<'_>, (peer, ..): Entry<'_>) -> &'static str {
    if own.environment == peer.environment { "" } else { ELSEWHERE }
}

fn mebibytes(bytes: u64) -> String {
    let size = bytes as f64 / f64::from(1 << 20);
    if size < 0.1 { format!("{bytes} B") } else { format!("{size:.1} MiB") }
}

/// A case without what all cases of a bench have in common.
fn label(case: &str) -> String {
    let inside = case.split_once('(').map_or(case, |(_, rest)| rest.trim_end_matches(')'));
    let common = |field: &str| {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        matches!(key, "absent" | "dtype" | "seed") || (key, value) == ("profile", "typical")
    };
    let word = |field: &str| match field.split_once('=') {
        Some(("seqs", lengths)) => format!("{} packed sequences", lengths.split('+').count()),
        Some(("profile", "slow_decay")) => "long memory".to_owned(),
        _ => field.to_owned(),
    };
    inside.split(',').filter(|field| !common(field)).map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Environment, Identity};
    use crate::verdict::Measure;

    const CASE: &str = "gla(B=1,T=8192,H=96,absent=h0+ht,dtype=bf16,profile=slow_decay,seed=0)";

    fn run(name: &str, command: &str, ms: f64) -> Run {
        let kernels = (name == "cuda").then(|| ("gla".to_owned(), "abc".to_owned())).into_iter().collect();
        let candidate = Identity { name: name.into(), version: "1".into(), device: "H100".into(), kernels };
        let environment = Environment { command: command.into(), date: "2026-11-26".into(), ..Environment::default() };
        let rms = |error| {
            let (port, statistic) = ("o".to_owned(), "rms".to_owned());
            Measure { port, statistic, error, bound: 2.0, relative: 0.0, at: vec![], runs: 4 }
        };
        let timed = Timed {
            op: "gla".into(),
            case: CASE.into(),
            pass: "forward+backward".into(),
            times_ns: vec![ms * 1e6, ms * 1e6, 9e9],
            workspace_bytes: Some((ms * 1048576.0) as u64),
            floor_ns: Some(5e5),
            errors: vec![rms(ms / 2.0)],
            checked: true,
            ..Timed::default()
        };
        Run { candidate, environment, judged: vec![], timed: vec![timed] }
    }

    fn row(runs: &[Run], hash: &str) -> String {
        let kernels = [("gla".to_owned(), hash.to_owned())].into();
        let tree = Tree { kernels, headline: [CASE.to_owned()].into(), ..Tree::default() };
        let text = speed(runs, &tree).summary;
        text.lines().find(|line| line.starts_with("| `gla`")).unwrap_or_default().to_owned()
    }

    #[test]
    fn a_row_holds_ours_beside_the_best_peer() {
        let runs = [run("cuda", "x", 1.0), run("fla-chunk", "x", 4.0), run("jla", "x", 2.0)];
        let expected =
            "| `gla` B=1, T=8192, H=96, long memory | – | – | 2.00 | 0.50 (jla) | 1.0 MiB | 0.250 | 0.50 / 2.00 |";
        assert_eq!(row(&runs, "abc"), expected);
    }

    #[test]
    fn old_kernels_other_runs_other_devices_and_wrong_answers_are_told_apart() {
        let own = || run("cuda", "x", 1.0);
        assert!(row(&[own()], "def").contains("2.00 †"), "the sources have changed");
        let later = row(&[own(), run("jla", "y", 2.0)], "abc");
        assert!(later.contains("0.50 (jla) ◦"), "another run: {later}");
        let mut other = run("jla", "x", 2.0);
        other.candidate.device = "H200".into();
        assert!(row(&[own(), other], "abc").contains("| 2.00 | – |"), "another device is no peer");
        let mut wrong = run("jla", "x", 2.0);
        wrong.timed[0].checked = false;
        assert!(row(&[own(), wrong], "abc").contains("| 2.00 | – |"), "what is wrong has no time");
        let mut refused = own();
        refused.timed[0].problem = Some("no".into());
        assert_eq!(row(&[refused], "abc"), "");
    }

    #[test]
    fn a_peer_is_what_was_timed_beside_ours_else_its_fastest() {
        let elsewhere = [run("cuda", "x", 1.0), run("jla", "y", 2.0), run("jla", "z", 4.0)];
        assert!(row(&elsewhere, "abc").contains("0.50 (jla) ◦"), "the fastest, not the last");
        let beside = [run("cuda", "x", 1.0), run("jla", "x", 4.0), run("jla", "y", 2.0)];
        assert!(row(&beside, "abc").contains("0.25 (jla) |"), "what stood beside ours");
        let mut old = run("jla", "y", 0.5);
        old.environment.date = "2026-11-20".into();
        assert!(
            row(&[run("cuda", "x", 1.0), old, run("jla", "z", 4.0)], "abc").contains("0.25 (jla) ◦"),
            "of its newest day"
        );
    }

    #[test]
    fn the_newest_record_speaks() {
        let mut old = run("cuda", "x", 3.0);
        old.environment.date = "2026-11-20".into();
        assert!(row(&[run("cuda", "y", 1.0), old], "abc").contains("| 2.00 |"));
        let mut before = run("cuda", "x", 3.0);
        before.candidate.kernels.insert("gla".into(), "other sources".into());
        assert!(row(&[run("cuda", "y", 1.0), before], "abc").contains("| 2.00 |"), "on the same day");
    }

    #[test]
    fn all_cases_stand_op_by_op_and_few_in_the_summary() {
        let memory = [("gla".to_owned(), vec!["states, total H V K elements".to_owned()])].into();
        let tree = Tree { memory, ..Tree::default() };
        let mut own = run("cuda", "x", 1.0);
        own.timed[0].host_ns = Some(4200.0);
        let Speed { summary, whole } = speed(&[own], &tree);
        assert_eq!(summary, "", "nothing of it is a headline");
        assert!(whole.contains("### `gla`\n\nWorkspace: states, total H V K elements\n\n| case"), "{whole}");
        let row =
            "| B=1, T=8192, H=96, long memory | – | – | – | 1.000 | 2.00 † | – | – | 1.0 MiB | – | 0.50 / – | – | – |";
        assert!(whole.contains(row), "{whole}");
    }

    #[test]
    fn the_tables_go_between_their_marks() {
        let speed = Speed { summary: "few\n".into(), whole: "all\n".into() };
        let [few, all] = MARKS;
        let document = |a: &str, b: &str| format!("a\n{}\n{a}{}\nz{}\n{b}{}\n", few[0], few[1], all[0], all[1]);
        assert_eq!(speed.splice(&document("old\n", "")), Ok(document("few\n", "all\n")));
        let one = format!("{}\n{}", all[0], all[1]);
        assert_eq!(speed.splice(&one), Ok(format!("{}\nall\n{}", all[0], all[1])));
        assert!(speed.splice("nothing").is_err());
    }
}
