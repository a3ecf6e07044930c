//! Speed and memory, side by side in one run.
//!
//! The candidates of a case are timed in turn, several times over, so that a machine that changes its clock changes it
//! for all of them. A time counts only for a candidate that has just answered a small case of the same op, widths and
//! type rightly, gradients included, and whose timed outputs are finite.

mod floor;
mod ledger;
mod plans;
mod standard;
mod table;
mod trust;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use reports::record::Timed;

use crate::candidate::open::{OpenError, OpenOptions, open};
use crate::candidate::{BenchRequest, Candidate, Fill, Mode, Reply, Request, Timing};
use crate::case::{self, Case};
use crate::cli::{BenchArgs, Pass};
use crate::glob::selects;
use crate::sample::{self, Profile};

use floor::{Ceilings, Least};
use ledger::Ledger;
pub use plans::{Costs, all as plans};
pub(crate) use table::median;
use trust::{Right, Trust};
use watch::Watch;

/// How often the candidates take turns at a case.
const TURNS: usize = 4;

/// A bench that cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A case that is none.
    #[error(transparent)]
    Case(#[from] case::Error),
    /// Filters that fit nothing.
    #[error("no standard case of these groups fits {filters:?}; name other groups with --shapes, or give a whole case")]
    Nothing {
        /// The filters.
        filters: Vec<String>,
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
    let asked = asked(&args.filters)?;
    let mut candidates = Vec::new();
    for name in std::iter::once(&args.candidate).chain(&args.against) {
        candidates.push(open(name, &options)?);
    }
    let cases = match asked {
        Some(cases) => cases,
        None => selected(args, &candidates)?,
    };
    let identities: Vec<_> = candidates.iter().map(|c| c.identity().clone()).collect();
    let mut ledger = Ledger::open(&args.out, &identities, args.json)?;
    let (mut trust, mut fine) = (Trust::default(), true);
    let watch = Watch::start(candidates.iter().any(|c| on_a_gpu(c.as_ref())));
    for case in &cases {
        for backward in passes(args.pass, case) {
            let rows = side_by_side(&mut candidates, case, backward, args, &mut trust, &watch);
            fine &= rows.iter().all(|row| row.fine());
            if !args.json {
                show(&table::render(case, backward, &identities, &rows));
            }
            ledger.add(rows.into_iter().map(|row| row.timed))?;
        }
    }
    if !args.json {
        let cpu = candidates.iter().all(|c| !on_a_gpu(c.as_ref()));
        show(&table::closing(cpu, ledger.path()));
    }
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what is for people; nobody reading it is no reason to stop, as the records are kept.
fn show(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}

/// The cases that are given in full; `None` when there are only filters.
fn asked(filters: &[String]) -> Result<Option<Vec<Case>>, Error> {
    let whole = |f: &&String| f.contains('(') && f.ends_with(')') && !f.contains('*');
    if filters.is_empty() || !filters.iter().all(|f| whole(&f)) {
        return Ok(None);
    }
    Ok(Some(filters.iter().map(|text| text.parse()).collect::<Result<_, _>>()?))
}

/// The standard cases that fit the filters, of ops that somebody has.
fn selected(args: &BenchArgs, candidates: &[Box<dyn Candidate>]) -> Result<Vec<Case>, Error> {
    let filters = &args.filters;
    let mut cases = standard::cases(candidates.iter().any(|c| on_a_gpu(c.as_ref())), &args.shapes);
    let known = |case: &Case| candidates.iter().any(|c| c.ops().iter().any(|op| op == case.problem.spec.name));
    cases.retain(known);
    cases.retain(|case| filters.is_empty() || filters.iter().any(|f| selects(f, &case.to_string())));
    if cases.is_empty() { Err(Error::Nothing { filters: filters.to_vec() }) } else { Ok(cases) }
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
    let turns = TURNS.min(args.iterations as usize);
    let request = BenchRequest {
        problem: case.problem.clone(),
        dtype: case.dtype,
        want: standard::want(&case.problem, backward),
        iterations: (args.iterations as usize).div_ceil(turns),
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
    for _ in 0..turns {
        for (candidate, row) in candidates.iter_mut().zip(&mut rows).filter(|(_, row)| row.timed.checked) {
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

/// The call that a bench repeats, with its inputs drawn; kept, because candidates take turns at the same one.
#[derive(Debug, Default)]
pub(crate) struct Drawn(Option<(BenchRequest, Request)>);

impl Drawn {
    /// The call for `request`.
    ///
    /// # Errors
    /// An unknown profile.
    pub(crate) fn question(&mut self, request: &BenchRequest) -> Result<&Request, Reply> {
        let same = |known: &BenchRequest| {
            let (a, b) = (known, request);
            a.problem == b.problem && (a.dtype, a.seed, &a.want, &a.profile) == (b.dtype, b.seed, &b.want, &b.profile)
        };
        let drawn = match self.0.take() {
            Some(drawn) if same(&drawn.0) => drawn,
            _ => (request.clone(), draw(request)?),
        };
        Ok(&self.0.insert(drawn).1)
    }
}

fn draw(request: &BenchRequest) -> Result<Request, Reply> {
    let wrong = || {
        let known = Profile::ALL.map(Profile::name).join(", ");
        Reply::Failed(format!("bench: field profile is {}, expected one of {known}", request.profile))
    };
    let profile = Profile::from_name(&request.profile).ok_or_else(wrong)?;
    let case = Case { problem: request.problem.clone(), dtype: request.dtype, profile, seed: request.seed };
    let gradients = request.want.iter().any(|w| request.problem.spec.output(w).is_none());
    let mut cotangents = if gradients { sample::cotangents(&case) } else { Default::default() };
    cotangents.retain(|name, _| request.want.iter().any(|w| name.strip_prefix("d_") == Some(w)));
    let (inputs, want) = (sample::inputs(&case), request.want.clone());
    Ok(Request { problem: case.problem, dtype: case.dtype, inputs, cotangents, want, fill: Fill::Any, mode: Mode::Any })
}
