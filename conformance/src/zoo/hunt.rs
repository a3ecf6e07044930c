//! The hunt: every fault put to every check, until something finds it.
//!
//! In smoke each check gets its chance with each fault, so that what only one check finds is known; the cases beyond
//! are put to what is left alive. A candidate with a fault runs in a process of its own: it may crash or hang.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use optimized::plant::padded_width;
use reference::spec::Dim;
use reports::verdict::Verdict;

use super::Error;
use super::build::{self, Workshop};
use super::ground::Ground;
use super::nulls::{NULLS, Null, NullCandidate};
use super::record::{Hunted, Kill, Line, Unchanged};
use super::rules::Rule;
use super::table::{Kind, Mutant, Table};
use crate::candidate::Candidate;
use crate::candidate::open::{OpenOptions, in_process, open, planted};
use crate::check::{Check, applicable};
use crate::environment::quoted;
use crate::report::sentence;
use crate::suite::Size;

/// How to hunt.
#[derive(Debug, Clone)]
pub struct Options {
    /// The largest suite.
    pub suite: Size,
    /// Stop at the first check that finds a fault.
    pub first: bool,
    /// Faults at a time.
    pub jobs: usize,
    /// How candidates are opened.
    pub open: OpenOptions,
}

/// What is wrong with a candidate.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A replacement in the kernels.
    Planted(Mutant),
    /// A replacement in the Python candidate that people copy.
    Template(Mutant),
    /// A candidate that computes nothing.
    Null(&'static Null),
}

impl Fault {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Planted(mutant) | Self::Template(mutant) => &mutant.name,
            Self::Null(null) => null.name,
        }
    }

    fn facts(&self) -> (&str, Kind, Option<String>) {
        match self {
            Self::Planted(mutant) | Self::Template(mutant) => (&mutant.class, mutant.kind, mutant.equivalent.clone()),
            Self::Null(null) => ("null", null.kind, null.equivalent.map(str::to_owned)),
        }
    }
}

/// The faults of a table of kernels.
#[must_use]
pub fn planted_faults(table: &Table) -> Vec<Fault> {
    table.mutants.iter().cloned().map(Fault::Planted).collect()
}

/// The faults of the Python candidate.
#[must_use]
pub fn template_faults(table: &Table) -> Vec<Fault> {
    table.mutants.iter().cloned().map(Fault::Template).collect()
}

/// The candidates that compute nothing.
#[must_use]
pub fn null_faults() -> Vec<Fault> {
    NULLS.iter().map(Fault::Null).collect()
}

/// A fault on its way.
#[derive(Clone)]
struct Prey {
    fault: Fault,
    /// Libraries with the fault, or the script.
    files: Vec<PathBuf>,
    hunted: Hunted,
}

impl Prey {
    fn new(skeleton: &str, op: &str, fault: Fault) -> Self {
        let (class, kind, equivalent) = fault.facts();
        let hunted = Hunted {
            skeleton: skeleton.to_owned(),
            op: op.to_owned(),
            name: fault.name().to_owned(),
            class: class.to_owned(),
            kind,
            equivalent,
            killed: None,
            by: Vec::new(),
            rules: BTreeMap::new(),
            wrong: BTreeSet::new(),
            seconds: 0.0,
        };
        Self { fault, files: Vec::new(), hunted }
    }

    fn build(&mut self, workshop: &Workshop, widths: &[usize], name: &str) -> Result<(), build::Error> {
        match &self.fault {
            Fault::Planted(mutant) => self.files.extend(workshop.library(&self.hunted.op, mutant, widths, name)?),
            Fault::Template(mutant) if self.files.is_empty() => self.files.push(workshop.script(mutant, name)?),
            Fault::Template(_) | Fault::Null(_) => {}
        }
        Ok(())
    }

    fn open(&self, options: &OpenOptions) -> Result<Box<dyn Candidate>, Error> {
        match &self.fault {
            Fault::Planted(_) => Ok(planted(&self.files, options)?),
            Fault::Template(_) => {
                let script = self.files.first().map(|f| quoted(&f.to_string_lossy())).unwrap_or_default();
                Ok(open(&format!("python3 {script}"), options)?)
            }
            Fault::Null(null) => Ok(Box::new(NullCandidate::new(null))),
        }
    }

    fn found_by(&self, check: &Check) -> bool {
        self.hunted.by.iter().any(|kill| kill.check == check.name)
    }

    /// One case, every check that has not found the fault yet.
    fn face(&mut self, ground: &Ground, candidate: &mut dyn Candidate, first: bool) {
        for check in applicable(&ground.case) {
            let direct = matches!(check.name, "forward" | "backward");
            let compared = direct && ground.suite == Size::Smoke && self.hunted.rules.len() < Rule::ALL.len();
            // what computes nothing agrees with itself: only the truth tells
            let pointless = matches!(self.fault, Fault::Null(_)) && !direct;
            if pointless || self.found_by(check) && (first || !compared) {
                continue;
            }
            let (verdict, asked) = ground.put(candidate, check);
            if compared {
                self.compare(ground, &ground.rejecting(check, &asked));
            }
            if matches!(verdict, Verdict::Fail { .. }) && !self.found_by(check) {
                self.hunted.wrong.extend(ground.wrong(check, &asked));
                self.found(ground, check, &verdict);
            }
            if first && self.hunted.killed.is_some() {
                return;
            }
        }
    }

    fn compare(&mut self, ground: &Ground, rejecting: &[Rule]) {
        let unfounded = ground.rejected.get().map_or(&[][..], Vec::as_slice);
        for rule in rejecting.iter().filter(|r| !unfounded.contains(r)) {
            self.hunted.rules.entry(rule.name().to_owned()).or_insert_with(|| ground.case.to_string());
        }
    }

    /// What was found on another case meanwhile; the first in the suite's order counts.
    fn learn(&mut self, other: Hunted) {
        self.hunted.seconds += other.seconds;
        self.hunted.wrong.extend(other.wrong);
        let first = [self.hunted.killed.take(), other.killed].into_iter().flatten().min_by_key(|kill| kill.place);
        self.hunted.killed = first;
        for kill in other.by {
            if !self.hunted.by.iter().any(|known| known.check == kill.check) {
                self.hunted.by.push(kill);
            }
        }
    }

    fn found(&mut self, ground: &Ground, check: &Check, verdict: &Verdict) {
        let kill = Kill {
            check: check.name.to_owned(),
            case: ground.case.to_string(),
            suite: ground.suite.name().to_owned(),
            what: sentence(verdict),
            place: ground.place,
        };
        if self.hunted.killed.as_ref().is_none_or(|first| kill.place < first.place) {
            self.hunted.killed = Some(kill.clone());
        }
        self.hunted.by.push(kill);
    }
}

/// Hunts `faults` of the kernels of `op` and hands every line of the record to `take`, on this thread.
///
/// # Errors
/// A fault that cannot be planted or built, a candidate that does not start, and what `take` returns.
pub fn hunt(
    skeleton: &str,
    op: &str,
    faults: Vec<Fault>,
    options: &Options,
    mut take: impl FnMut(Line) -> Result<(), Error>,
) -> Result<(), Error> {
    let grounds = Ground::of(op, options.suite);
    let (smoke, beyond): (Vec<_>, Vec<_>) = grounds.into_iter().partition(|g| g.suite == Size::Smoke);
    let rules = Rule::ALL.iter().map(|r| (r.name().to_owned(), 0)).collect();
    let whole = Mutex::new(Unchanged { skeleton: skeleton.to_owned(), cases: 0, verdicts: 0, failed: 0, rules });
    spread(options.jobs, &smoke, |ground| unchanged(&whole, ground))?;
    let workshop = Workshop::open()?;
    let prey: Vec<Prey> = faults.into_iter().map(|fault| Prey::new(skeleton, op, fault)).collect();
    let mut left = Vec::new();
    let mut error = None;
    in_smoke(prey, &smoke, &workshop, options, |result| {
        match result {
            Ok(prey) if prey.hunted.killed.is_none() && !beyond.is_empty() => left.push(prey),
            Ok(prey) => error = take(Line::Hunted(prey.hunted)).err(),
            Err(failed) => error = Some(failed),
        }
        error.is_none()
    });
    if let Some(error) = error {
        return Err(error);
    }
    for prey in further(left, beyond, &widths(&smoke), &workshop, options, &whole)? {
        take(Line::Hunted(prey.hunted))?;
    }
    take(Line::Unchanged(whole.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// The padded widths that these cases ask for.
fn widths(grounds: &[Ground]) -> Vec<usize> {
    let width = |g: &Ground| {
        let keys = g.case.problem.spec.sizes.contains(&Dim::K);
        padded_width(keys.then(|| g.case.problem.size(Dim::K)))
    };
    // what has a width of its own is built with the narrowest
    let all: BTreeSet<usize> = grounds.iter().filter_map(width).chain(padded_width(None)).collect();
    all.into_iter().collect()
}

/// The kernels as they are: what fails here fails without a fault, and rules that reject it say nothing.
fn unchanged(whole: &Mutex<Unchanged>, ground: &Ground) -> Result<(), Error> {
    let mut candidate = in_process("cpu")?;
    let (mut verdicts, mut failed, mut rejected) = (0, 0, BTreeSet::new());
    for check in applicable(&ground.case) {
        let (verdict, asked) = ground.put(candidate.as_mut(), check);
        if ground.suite == Size::Smoke {
            rejected.extend(ground.rejecting(check, &asked));
        }
        verdicts += usize::from(matches!(verdict, Verdict::Pass { .. } | Verdict::Fail { .. }));
        failed += usize::from(matches!(verdict, Verdict::Fail { .. }));
    }
    let mut whole = locked(whole);
    whole.cases += 1;
    whole.verdicts += verdicts;
    whole.failed += failed;
    for rule in &rejected {
        *whole.rules.entry(rule.name().to_owned()).or_default() += 1;
    }
    // set once: nobody else has this ground yet
    let _ = ground.rejected.set(rejected.into_iter().collect());
    Ok(())
}

/// Several items at a time, each once, until one fails.
fn spread<X: Sync>(jobs: usize, items: &[X], work: impl Fn(&X) -> Result<(), Error> + Sync) -> Result<(), Error> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(item) {
                        next.store(items.len(), Ordering::Relaxed);
                        *locked(&failure) = Some(error);
                    }
                }
            });
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Every fault on every case, several faults at a time, until `take` says no.
fn in_smoke(
    prey: Vec<Prey>,
    smoke: &[Ground],
    workshop: &Workshop,
    options: &Options,
    mut take: impl FnMut(Result<Prey, Error>) -> bool,
) {
    let widths = widths(smoke);
    let queue = Mutex::new(prey.into_iter().enumerate());
    let next = || locked(&queue).next();
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            let (sender, widths, next) = (sender.clone(), &widths, &next);
            scope.spawn(move || {
                while let Some((i, prey)) = next() {
                    if sender.send(chase(prey, smoke, workshop, widths, &format!("smoke-{i}"), options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for result in receiver {
            if !take(result) {
                return;
            }
        }
    });
}

fn chase(
    mut prey: Prey,
    smoke: &[Ground],
    workshop: &Workshop,
    widths: &[usize],
    name: &str,
    options: &Options,
) -> Result<Prey, Error> {
    let start = Instant::now();
    prey.build(workshop, widths, name)?;
    let mut candidate = prey.open(&options.open)?;
    for ground in smoke {
        prey.face(ground, candidate.as_mut(), options.first);
        if options.first && prey.hunted.killed.is_some() {
            break;
        }
    }
    prey.hunted.seconds = seconds(start.elapsed());
    Ok(prey)
}

/// What is left, on the cases beyond smoke: several cases at a time, each put to everything that is still alive.
fn further(
    left: Vec<Prey>,
    beyond: Vec<Ground>,
    built: &[usize],
    workshop: &Workshop,
    options: &Options,
    whole: &Mutex<Unchanged>,
) -> Result<Vec<Prey>, Error> {
    if left.is_empty() {
        return Ok(left);
    }
    let wider: Vec<usize> = widths(&beyond).into_iter().filter(|w| !built.contains(w)).collect();
    let mut prey = left;
    for (i, prey) in prey.iter_mut().enumerate() {
        let start = Instant::now();
        prey.build(workshop, &wider, &format!("wider-{i}"))?;
        prey.hunted.seconds += seconds(start.elapsed());
    }
    let prey: Vec<Mutex<Prey>> = prey.into_iter().map(Mutex::new).collect();
    // a case's truth goes with the case: those of a whole suite need too much memory
    let beyond: Vec<Mutex<Option<Ground>>> = beyond.into_iter().map(|g| Mutex::new(Some(g))).collect();
    spread(options.jobs, &beyond, |ground| {
        let ground = locked(ground).take();
        ground.map_or(Ok(()), |ground| everything(&prey, &ground, options, whole))
    })?;
    Ok(prey.into_iter().map(|p| p.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
}

fn everything(prey: &[Mutex<Prey>], ground: &Ground, options: &Options, whole: &Mutex<Unchanged>) -> Result<(), Error> {
    // first by itself, so that nobody waits for this case's truth
    unchanged(whole, ground)?;
    for prey in prey {
        let found = |prey: &Prey| prey.hunted.killed.as_ref().is_some_and(|kill| kill.place < ground.place);
        let mut own = match locked(prey) {
            prey if found(&prey) => continue,
            prey => prey.clone(),
        };
        let start = Instant::now();
        let mut candidate = own.open(&options.open)?;
        own.face(ground, candidate.as_mut(), true);
        own.hunted.seconds = seconds(start.elapsed());
        locked(prey).learn(own.hunted);
    }
    Ok(())
}

fn locked<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
