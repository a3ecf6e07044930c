//! Speed and memory, side by side in one run.
//!
//! The candidates of a case are timed in turn, several times over, so that a machine that changes its clock changes it
//! for all of them. A time counts only for a candidate that has just answered a small case of the same op, widths and
//! type rightly, gradients included, and whose timed outputs are finite.

mod drawn;
mod floor;
mod ledger;
mod plans;
mod standard;
mod table;
mod trust;
mod watch;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use reports::record::Timed;

use crate::candidate::open::{OpenError, OpenOptions, open};
use crate::candidate::{BenchRequest, Candidate, Reply, Timing};
use crate::case::{self, Case};
use crate::cli::{BenchArgs, Pass, Shapes};
use crate::glob::selects;
use crate::output::print;
use crate::sample::Profile;

pub(crate) use drawn::Drawn;
use floor::{Ceilings, Least};
use ledger::Ledger;
pub use plans::{Costs, all as plans};
pub(crate) use table::median;
use trust::{Right, Trust};
use watch::Watch;

/// How often several candidates take turns at a case.
const TURNS: usize = 4;

/// Iterations of the first turn, which tells how long one takes, and at least of all later ones together.
const FEW: usize = 3;

/// A bench that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A case that is none.
    #[error(transparent)]
    Case(#[from] case::Error),
    /// A case for a larger machine.
    #[error(transparent)]
    Room(#[from] case::Room),
    /// A filter that fits nothing.
    #[error(
        "no standard case of these groups fits {filter:?}; name other groups with --shapes, the beginning of a case \
         ('gla(B=1'), a pattern for the whole of it ('*gla(*T=8192*)') or a case in full ('gla(B=1,T=64,H=2)')"
    )]
    Nothing {
        /// The filter.
        filter: String,
    },
    /// The records cannot be written.
    #[error("cannot write {path}: {source}; choose another folder with --out")]
    Output {
        /// File or folder.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(e) => e.exit_code(),
            Self::Room(_) => 3,
            Self::Case(_) | Self::Nothing { .. } | Self::Output { .. } => 2,
        }
    }
}

/// `fla-conformance bench`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &BenchArgs) -> Result<ExitCode, Error> {
    let options = OpenOptions { timeout: Duration::from_secs(args.timeout), ..OpenOptions::default() };
    // a mistake in a case is told before anybody is started
    let asked = asked(&args.filters)?;
    let mut candidates = Vec::new();
    for name in std::iter::once(&args.candidate).chain(&args.against) {
        candidates.push(open(name, &options)?);
    }
    let cases = selected(args, asked, &candidates)?;
    let identities: Vec<_> = candidates.iter().map(|c| c.identity().clone()).collect();
    let mut ledger = Ledger::open(&args.out, &identities, args.json)?;
    let (mut trust, mut fine) = (Trust::default(), true);
    let watch = Watch::start(candidates.iter().any(|c| on_a_gpu(c.as_ref())));
    let asked: Vec<_> =
        cases.iter().flat_map(|c| passes(args.pass, c).into_iter().map(move |pass| (c, pass))).collect();
    trust.prepare(&asked);
    for case in &cases {
        for backward in passes(args.pass, case) {
            let rows = side_by_side(&mut candidates, case, backward, args, &mut trust, &watch);
            fine &= rows.iter().all(|row| row.fine());
            if !args.json {
                print(&table::render(case, backward, &identities, &rows));
            }
            ledger.add(rows.into_iter().map(|row| row.timed))?;
        }
    }
    if !args.json {
        let cpu = candidates.iter().all(|c| !on_a_gpu(c.as_ref()));
        print(&table::closing(cpu, ledger.path()));
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The standard cases of published comparisons, in production's regime of the gates.
#[must_use]
pub fn headline() -> BTreeSet<String> {
    let cases = standard::cases(true, &[Shapes::Headline]);
    cases.iter().filter(|c| c.profile == Profile::Typical).map(Case::to_string).collect()
}

/// Whether a filter is a case in full.
fn whole(filter: &str) -> bool {
    filter.contains('(') && filter.ends_with(')') && !filter.contains('*')
}

/// The cases that are given in full.
fn asked(filters: &[String]) -> Result<Vec<Case>, Error> {
    let cases: Vec<Case> = filters.iter().filter(|f| whole(f)).map(|text| text.parse()).collect::<Result<_, _>>()?;
    cases.iter().try_for_each(|case| case.fits(case.dtype))?;
    Ok(cases)
}

/// Those, and the standard cases that fit the other filters, of ops that somebody has.
fn selected(args: &BenchArgs, asked: Vec<Case>, candidates: &[Box<dyn Candidate>]) -> Result<Vec<Case>, Error> {
    let filters: Vec<&String> = args.filters.iter().filter(|f| !whole(f)).collect();
    let mut cases = standard::cases(candidates.iter().any(|c| on_a_gpu(c.as_ref())), &args.shapes);
    let known = |case: &Case| candidates.iter().any(|c| c.ops().iter().any(|op| op == case.problem.spec.name));
    cases.retain(known);
    let texts: Vec<String> = cases.iter().map(Case::to_string).collect();
    if let Some(idle) = filters.iter().find(|f| !texts.iter().any(|text| selects(f, text))) {
        return Err(Error::Nothing { filter: (*idle).clone() });
    }
    let named = |text: &str| args.filters.is_empty() || filters.iter().any(|f| selects(f, text));
    let standard = cases.into_iter().zip(&texts).filter(|(_, text)| named(text)).map(|(case, _)| case);
    let standard: Vec<Case> = standard.collect();
    standard.iter().try_for_each(|case| case.fits(case.dtype))?;
    Ok(asked.into_iter().chain(standard).collect())
}

fn on_a_gpu(candidate: &dyn Candidate) -> bool {
    let identity = candidate.identity();
    let named = ["NVIDIA", "AMD Instinct", "gfx", "GPU"].iter().any(|n| identity.device.contains(n));
    named || matches!(identity.name.as_str(), "cuda" | "hip")
}

fn passes(pass: Pass, case: &Case) -> Vec<bool> {
    match pass {
        Pass::Forward => vec![false],
        Pass::ForwardBackward => vec![true],
        Pass::Both => standard::passes(case),
    }
}

/// One candidate at one case: the record, and the median of each turn.
struct Row {
    timed: Timed,
    turns: Vec<f64>,
    declined: bool,
    /// What was seen of the device meanwhile.
    looks: Vec<String>,
}

impl Row {
    /// Timed and right, or not offered.
    const fn fine(&self) -> bool {
        self.timed.checked || self.declined
    }

    fn trusted(&mut self, right: Right) {
        let Right { at, errors, first_call_ns } = right;
        self.timed.checked = true;
        (self.timed.judged_at, self.timed.errors) = (at, errors);
        self.timed.first_call_ns = Some(first_call_ns);
    }
}

fn side_by_side(
    candidates: &mut [Box<dyn Candidate>],
    case: &Case,
    backward: bool,
    args: &BenchArgs,
    trust: &mut Trust,
    watch: &Watch,
) -> Vec<Row> {
    let all = args.iterations as usize;
    let turns = if candidates.len() > 1 { TURNS } else { 2 };
    let mut request = BenchRequest {
        problem: case.problem.clone(),
        dtype: case.dtype,
        want: standard::want(&case.problem, backward),
        iterations: FEW.min(all),
        profile: case.profile.name().to_owned(),
        seed: case.seed,
    };
    let mut rows: Vec<_> = candidates.iter().map(|c| row(c.as_ref(), case, backward, &request.want, args)).collect();
    for (i, (candidate, row)) in candidates.iter_mut().zip(&mut rows).enumerate() {
        match trust.check(i, candidate.as_mut(), case, backward) {
            Ok(right) => row.trusted(right),
            Err(reply) => refuse(row, &reply),
        }
    }
    for turn in 0..turns {
        for (candidate, row) in candidates.iter_mut().zip(&mut rows).filter(|(_, row)| row.timed.checked) {
            request.iterations = if turn == 0 { FEW.min(all) } else { left(&row.timed.times_ns, turns - turn, args) };
            if request.iterations == 0 {
                continue;
            }
            watch.seen();
            let timing = candidate.bench(&request);
            row.looks.extend(watch.seen());
            match timing {
                Ok(timing) => take(row, timing),
                Err(reply) => refuse(row, &reply),
            }
        }
    }
    for row in &mut rows {
        row.timed.device_state = watch.state(&row.looks);
    }
    rows
}

/// Iterations of one of the turns that are left: so many as there is time for, and [`FEW`] in all at least.
fn left(times_ns: &[f64], turns: usize, args: &BenchArgs) -> usize {
    let (done, each) = (times_ns.len(), median(times_ns).unwrap_or(f64::INFINITY));
    let affordable = (args.seconds * 1e9 / each) as usize;
    let all = affordable.clamp(2 * FEW, (2 * FEW).max(args.iterations as usize)).min(args.iterations as usize);
    all.saturating_sub(done).div_ceil(turns)
}

fn row(candidate: &dyn Candidate, case: &Case, backward: bool, want: &[String], args: &BenchArgs) -> Row {
    let least = Least::of(&case.problem, case.dtype, want);
    let ceilings = Ceilings::of(&candidate.identity().device, case.dtype, args.bandwidth, args.tflops);
    let timed = Timed {
        op: case.problem.spec.name.to_owned(),
        case: case.to_string(),
        pass: table::pass(backward).to_owned(),
        floor_ns: least.time(ceilings),
        least_bytes: Some(least.bytes),
        least_flops: Some(least.flops),
        floor: least.formula(ceilings),
        ..Timed::default()
    };
    Row { timed, turns: Vec::new(), declined: false, looks: Vec::new() }
}

fn take(row: &mut Row, timing: Timing) {
    let finite = timing.sample.values().all(|t| t.values().all(f64::is_finite));
    let alive = timing.sample.values().all(|t| t.is_empty() || t.values().any(|x| x != 0.0));
    let real = timing.times_ns.iter().all(|t| t.is_finite() && *t > 0.0);
    if timing.sample.is_empty() || !(finite && alive && real) {
        let what =
            if real { "the timed outputs are not finite, all zero or not given" } else { "times that are no times" };
        return refuse(row, &Reply::Malformed(what.to_owned()));
    }
    row.turns.extend(median(&timing.times_ns));
    row.timed.times_ns.extend(timing.times_ns);
    row.timed.peak_bytes = row.timed.peak_bytes.max(timing.peak_bytes);
    row.timed.workspace_bytes = row.timed.workspace_bytes.max(timing.workspace_bytes);
    row.timed.host_ns = timing.host_ns;
    row.timed.timed_by = timing.timed_by;
    row.timed.ran = timing.ran;
}

/// What was timed before does not count either.
fn refuse(row: &mut Row, reply: &Reply) {
    row.declined = matches!(reply, Reply::Declined(_));
    row.timed.checked = false;
    row.timed.times_ns.clear();
    row.turns.clear();
    row.timed.problem = Some(table::sentence(reply));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn args(words: &[&str]) -> BenchArgs {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            bench: BenchArgs,
        }
        Line::try_parse_from([&["bench"], words].concat()).expect("a command line").bench
    }

    #[test]
    fn cases_beginnings_and_patterns_are_told_apart() {
        assert!(whole("hgrn(B=1,T=5)") && !whole("hgrn(B=1") && !whole("hgrn(*)") && !whole("hgrn"));
        assert!(asked(&["hgrn(B=1,T=5,D=oops)".to_owned()]).is_err(), "before anybody is started");
        let chosen = |words: &[&str]| {
            let args = args(words);
            selected(&args, asked(&args.filters)?, &[open("reference", &OpenOptions::default())?])
        };
        let ops = |words: &[&str]| -> Vec<&str> {
            chosen(words).expect("cases").iter().map(|c| c.problem.spec.name).collect()
        };
        assert_eq!(ops(&["gla(B=1"]), ["gla"], "not simple_gla");
        let both = ["gla", "gated_delta_rule"];
        assert_eq!(ops(&["gla(B=1,T=7)", "gated_delta_rule(B=4"]), both, "a case, and standard ones");
        let none = chosen(&["gla(", "gla(B=9"]).expect_err("there is no such case");
        assert!(none.to_string().contains("\"gla(B=9\""), "{none}");
    }

    #[test]
    fn slow_ones_are_timed_less_often() {
        let args = args(&["--iterations", "20", "--seconds", "1"]);
        assert_eq!(left(&[1e6; 3], 3, &args), 6, "17 in three turns");
        assert_eq!(left(&[1e8; 3], 1, &args), 7, "ten of a tenth of a second");
        assert_eq!(left(&[9e9; 3], 1, &args), 3, "six at least");
    }
}
