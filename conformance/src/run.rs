//! The engine: every case of a suite under every check that applies.
//!
//! A few threads take cases in turn. The truth of a case is shared by its checks; candidates are lent out call by call,
//! so that one candidate works while the oracle thinks about other cases. The main thread writes a record as soon as
//! there is one.

mod announce;
mod engine;
mod past;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use reports::record::Identity;

use crate::candidate::Candidate;
use crate::candidate::open::{OpenError, OpenOptions, open};
use crate::case::{Case, products};
use crate::check::{CHECKS, Check, applicable};
use crate::cli::{RunArgs, Shard};
use crate::environment;
use crate::expect::{self, Expectations};
use crate::glob::selects;
use crate::nearest::nearest;
use crate::report;
use crate::suite;
use crate::truth::shelf::Shelf;

pub use engine::{Outcome, Task, judge_all};

/// A run that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No such check.
    #[error("unknown check {name:?}; the nearest is {nearest:?} (of {valid})", valid = check_names())]
    Check {
        /// What was asked for.
        name: String,
        /// The valid name it resembles most.
        nearest: String,
    },
    /// Filters that leave nothing.
    #[error("no case of suite {suite} fits {filters:?}; see fla-conformance list --cases {suite}")]
    Nothing {
        /// The suite.
        suite: &'static str,
        /// The filters.
        filters: Vec<String>,
    },
    /// The output directory cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Records to go on from that would be lost.
    #[error("{path} is where this run writes its own records: give it another --out")]
    Overwrites {
        /// The file.
        path: PathBuf,
    },
    /// A bad expectations file.
    #[error(transparent)]
    Expect(#[from] expect::Error),
    /// The report cannot be made.
    #[error(transparent)]
    Report(#[from] report::Error),
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(e) => e.exit_code(),
            _ => 2,
        }
    }
}

/// Where the records of a run go.
const RECORDS: &str = "records.jsonl";

/// `fla-conformance run`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &RunArgs) -> Result<ExitCode, Error> {
    let checks = checks(&args.checks)?;
    let expectations = Expectations::load(&args.candidate, &args.expect)?;
    // an entry about the largest suite is no mistake in a smaller one
    expectations.all_used(expect::fitting)?;
    let tasks = tasks(args)?;
    let runs = past::read(&args.resume, &args.out)?;
    let records = create(&args.out)?;
    let workers = environment::jobs(args.jobs);
    let candidates = candidates(&args.candidate, args.timeout, workers)?;
    let identity = candidates.first().map(|c| c.identity().clone()).unwrap_or_default();
    let ops = candidates.first().map(|c| c.ops().to_vec()).unwrap_or_default();
    let past = past::Past::of(&runs, &named(&args.candidate, identity.clone()), args.suite.name());
    let lacking = lacking(&tasks, &ops);
    let mut tasks = past.left(asked(tasks, &lacking, &checks));
    // the dearest first, so that no core waits for one at the end
    tasks.sort_by_cached_key(|task| std::cmp::Reverse(products(&task.case.problem)));
    let expectations = expectations.of(&identity);
    let mut announcer = announce::Announcer::new(args, records, &expectations, &tasks, identity)?;
    announce::lacking(&lacking).iter().for_each(|line| announcer.tell(line));
    let shelf = args.oracle_cache.as_deref().map(shelf).transpose()?;
    judge_all(&tasks, candidates, workers, shelf.as_ref(), |outcome| announcer.take(outcome))?;
    announcer.finish()
}

/// The checks of these names; all of them when there are none.
///
/// # Errors
/// A name that is none.
pub fn checks(names: &[String]) -> Result<Vec<&'static Check>, Error> {
    if names.is_empty() {
        return Ok(CHECKS.to_vec());
    }
    let find = |name: &String| {
        let nearest = || nearest(name, CHECKS.iter().map(|c| c.name)).to_owned();
        crate::check::check(name).ok_or_else(|| Error::Check { name: name.clone(), nearest: nearest() })
    };
    names.iter().map(find).collect()
}

fn check_names() -> String {
    CHECKS.iter().map(|c| c.name).collect::<Vec<_>>().join(", ")
}

fn tasks(args: &RunArgs) -> Result<Vec<Task>, Error> {
    let mine = |case: &Case| args.shard.is_none_or(|Shard { index, count }| case.hash() % count == index);
    let level = |case: &Case| args.level.is_none_or(|level| level.is_of(case));
    let named = |text: &str| args.filters.is_empty() || args.filters.iter().any(|f| selects(f, text));
    let chosen = |case: &Case| level(case) && named(&case.to_string());
    let mut any = false;
    let mut tasks = Vec::new();
    for case in suite::cases(args.suite).into_iter().filter(chosen) {
        any = true;
        if mine(&case) {
            tasks.push(Task { case, checks: Vec::new() });
        }
    }
    if any { Ok(tasks) } else { Err(Error::Nothing { suite: args.suite.name(), filters: args.filters.clone() }) }
}

fn op(task: &Task) -> &'static str {
    task.case.problem.spec.name
}

/// The ops of the tasks that the candidate does not say it has.
fn lacking(tasks: &[Task], ops: &[String]) -> BTreeSet<&'static str> {
    tasks.iter().map(op).filter(|name| !ops.iter().any(|o| o == name)).collect()
}

/// The tasks that are put to the candidate, with those of the checks that apply. Of a candidate that has some of the
/// ops the others are not asked; one that has none declines them all.
fn asked(mut tasks: Vec<Task>, lacking: &BTreeSet<&'static str>, checks: &[&Check]) -> Vec<Task> {
    let has = |task: &Task| !lacking.contains(op(task));
    if tasks.iter().any(has) {
        tasks.retain(has);
    }
    // what applies is asked of the oracle: not for what is not asked
    for task in &mut tasks {
        task.checks = applicable(&task.case).filter(|c| checks.iter().any(|k| k.name == c.name)).collect();
    }
    tasks.retain(|task| !task.checks.is_empty());
    tasks
}

fn shelf(folder: &Path) -> Result<Arc<Shelf>, Error> {
    let failed = |source| Error::Write { path: folder.to_owned(), source };
    Shelf::open(folder).map(Arc::new).map_err(failed)
}

/// Opens the records file before anything else is done.
fn create(out: &Path) -> Result<std::fs::File, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    std::fs::create_dir_all(out).map_err(failed(out))?;
    let path = out.join(RECORDS);
    std::fs::File::create(&path).map_err(failed(&path))
}

/// One candidate for each worker when it lives in this process, else a single one.
fn candidates(name: &str, timeout: u64, workers: usize) -> Result<Vec<Box<dyn Candidate>>, Error> {
    let options = OpenOptions { timeout: Duration::from_secs(timeout), ..OpenOptions::default() };
    let count = if matches!(name, "cpu" | "reference") { workers } else { 1 };
    (0..count).map(|_| open(name, &options).map_err(Error::Open)).collect()
}

/// How a case is asked again.
#[must_use]
pub fn reproducer(candidate: &str, case: &str, check: &str) -> String {
    let candidate = environment::quoted(candidate);
    format!("fla-conformance replay --candidate {candidate} '{case}' --check {check}")
}

/// The name of a candidate as records carry it: as it was asked for, with its own words for the rest.
fn named(asked: &str, identity: Identity) -> Identity {
    let name = if identity.name.is_empty() { asked.to_owned() } else { identity.name };
    Identity { name, ..identity }
}

#[cfg(test)]
mod tests;
