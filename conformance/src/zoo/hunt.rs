//! The hunt: every fault put to every check, until something finds it.
//!
//! In smoke each check gets its chance with each fault, so that what only one check finds is known; the cases beyond
//! are put to what is left alive. A candidate with a fault runs in a process of its own: it may crash or hang. Every
//! verdict is handed over as it comes, and what a record has is not asked again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use optimized::plant::padded_width;
use reference::spec::Dim;
use reports::verdict::Verdict;

use super::Error;
use super::build::Workshop;
use super::ground::{Ground, Right};
use super::past::{Past, through};
use super::prey::{Fault, Prey};
use super::record::{Line, Unchanged};
use super::rules::Rule;
use super::table::SKELETONS;
use crate::candidate::Candidate;
use crate::candidate::open::{OpenOptions, in_process, planted};
use crate::check::{applicable, wide};
use crate::glob::selects;
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
    /// Patterns of the cases that are asked; all of the suite when there are none.
    pub cases: Vec<String>,
    /// How candidates are opened.
    pub open: OpenOptions,
}

/// A hunt under way.
struct Hunt<'a, T> {
    skeleton: &'a str,
    op: &'a str,
    options: &'a Options,
    past: &'a Past,
    workshop: Workshop,
    take: Mutex<T>,
}

/// Hunts `faults` of the kernels of `op` and hands every line of the record to `take`, one at a time. What `past` has
/// is not asked again.
///
/// # Errors
/// A fault that cannot be planted or built, a candidate that does not start, and what `take` returns.
pub fn hunt(
    skeleton: &str,
    op: &str,
    faults: Vec<Fault>,
    options: &Options,
    past: &Past,
    take: impl FnMut(Line) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let left = |fault| Prey::new(skeleton, op, fault, past, options.suite);
    let prey: Vec<Prey> = faults.into_iter().filter_map(left).collect();
    if prey.is_empty() {
        return Ok(());
    }
    let mut grounds = Ground::of(op, options.suite);
    let asked = |case: &str| options.cases.is_empty() || options.cases.iter().any(|filter| selects(filter, case));
    grounds.retain(|ground| asked(&ground.case.to_string()));
    let (smoke, beyond): (Vec<_>, Vec<_>) = grounds.into_iter().partition(|g| g.suite == Size::Smoke);
    let hunt = Hunt { skeleton, op, options, past, workshop: Workshop::open()?, take: Mutex::new(take) };
    let (left, fresh): (Vec<_>, Vec<_>) = prey.into_iter().partition(|prey| through(&prey.hunted).is_some());
    let widths = widths(&smoke);
    let mut right = hunt.right(&widths, "smoke")?;
    let mut left: Vec<Mutex<Prey>> = left.into_iter().map(Mutex::new).collect();
    if !fresh.is_empty() {
        left.extend(hunt.in_smoke(fresh, &smoke, &widths, &right)?);
    }
    // what was built for other widths already counts for these cases
    let wider: Vec<usize> = self::widths(&beyond).into_iter().filter(|w| !widths.contains(w)).collect();
    if !beyond.is_empty() && !left.is_empty() {
        right.extend(hunt.right(&wider, "wider")?);
    }
    hunt.further(&left, beyond, [&widths, &wider], &right)
}

/// The padded widths that these cases ask for.
fn widths(grounds: &[Ground]) -> Vec<usize> {
    let width = |g: &Ground| {
        let keys = g.case.problem.spec.sizes.contains(&Dim::K);
        let of_case = padded_width(keys.then(|| g.case.problem.size(Dim::K)));
        of_case.into_iter().chain(wide::width(&g.case).and_then(|width| padded_width(Some(width))))
    };
    // what has a width of its own is built with the narrowest
    let all: BTreeSet<usize> = grounds.iter().flat_map(width).chain(padded_width(None)).collect();
    all.into_iter().collect()
}

impl<T: FnMut(Line) -> Result<(), Error> + Send> Hunt<'_, T> {
    fn put(&self, line: Line) -> Result<(), Error> {
        (locked(&self.take))(line)
    }

    /// The kernels as they are, for these padded widths: built as those with a fault are.
    fn right(&self, widths: &[usize], name: &str) -> Result<Vec<PathBuf>, Error> {
        if !SKELETONS.contains(&self.skeleton) {
            return Ok(Vec::new());
        }
        let units: Vec<(usize, String)> = self.workshop.units(self.op, widths)?.into_iter().enumerate().collect();
        let built = Mutex::new(Vec::new());
        spread(self.options.jobs, &units, |(i, unit)| {
            let library = self.workshop.right(unit, &format!("right-{name}-{i}"))?;
            locked(&built).push(library);
            Ok(())
        })?;
        Ok(built.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is held against the kernels as they are on a case: it fails without a fault, and says nothing of one.
    fn unchanged(&self, ground: &Ground, right: &[PathBuf]) -> Result<Unchanged, Error> {
        let mut candidate: Box<dyn Candidate> =
            if right.is_empty() { in_process("cpu")? } else { planted(right, &self.options.open)? };
        let (mut verdicts, mut failing, mut rejecting) = (0, Vec::new(), BTreeSet::new());
        for check in applicable(&ground.case) {
            let (verdict, asked) = ground.put(candidate.as_mut(), check);
            if ground.suite == Size::Smoke {
                rejecting.extend(ground.rejecting(check, &asked));
            }
            verdicts += usize::from(matches!(verdict, Verdict::Pass { .. } | Verdict::Fail { .. }));
            failing.extend(matches!(verdict, Verdict::Fail { .. }).then_some(check.name));
        }
        let count = |rule: Rule| (rule.name().to_owned(), usize::from(rejecting.contains(&rule)));
        let line = Unchanged {
            skeleton: self.skeleton.to_owned(),
            case: Some(ground.case.to_string()),
            cases: 1,
            verdicts,
            failed: failing.len(),
            failing: failing.iter().map(|&name| name.to_owned()).collect(),
            rules: Rule::ALL.into_iter().map(count).collect(),
            passed: BTreeSet::new(),
        };
        // set once: nobody else has this ground yet
        let _ = ground.right.set(Right { failing, rejecting: rejecting.into_iter().collect() });
        Ok(line)
    }

    /// Every fault on every case, several faults at a time; what is left.
    fn in_smoke(
        &self,
        prey: Vec<Prey>,
        smoke: &[Ground],
        widths: &[usize],
        right: &[PathBuf],
    ) -> Result<Vec<Mutex<Prey>>, Error> {
        spread(self.options.jobs, smoke, |ground| self.put(Line::Unchanged(self.unchanged(ground, right)?)))?;
        let prey: Vec<(usize, Mutex<Prey>)> = prey.into_iter().map(Mutex::new).enumerate().collect();
        spread(self.options.jobs, &prey, |(i, prey)| {
            let mut prey = locked(prey);
            self.chase(&mut prey, smoke, widths, &format!("smoke-{i}"))?;
            let is_whole = self.options.cases.is_empty();
            if prey.hunted.killed.is_some() || is_whole {
                let through = prey.hunted.killed.is_none().then(|| Size::Smoke.name().to_owned());
                prey.hunted.through = through;
                self.put(Line::Hunted(prey.hunted.clone()))?;
            }
            Ok(())
        })?;
        Ok(prey.into_iter().map(|(_, prey)| prey).filter(|prey| locked(prey).hunted.killed.is_none()).collect())
    }

    fn chase(&self, prey: &mut Prey, smoke: &[Ground], widths: &[usize], name: &str) -> Result<(), Error> {
        let start = Instant::now();
        prey.build(&self.workshop, widths, name)?;
        let mut candidate = prey.open(&self.options.open)?;
        for ground in smoke {
            prey.face(ground, candidate.as_mut(), self.options.first);
            if self.options.first && prey.hunted.killed.is_some() {
                break;
            }
        }
        prey.hunted.seconds = seconds(start.elapsed());
        Ok(())
    }

    /// What is left, on the cases beyond smoke: several cases at a time, each put to everything that is still alive.
    fn further(
        &self,
        prey: &[Mutex<Prey>],
        beyond: Vec<Ground>,
        widths: [&[usize]; 2],
        right: &[PathBuf],
    ) -> Result<(), Error> {
        if prey.is_empty() || beyond.is_empty() {
            return Ok(());
        }
        let numbered: Vec<(usize, &Mutex<Prey>)> = prey.iter().enumerate().collect();
        spread(self.options.jobs, &numbered, |(i, prey)| {
            let mut prey = locked(prey);
            let start = Instant::now();
            if !prey.is_built() {
                prey.build(&self.workshop, widths[0], &format!("known-{i}"))?;
            }
            prey.build(&self.workshop, widths[1], &format!("wider-{i}"))?;
            prey.hunted.seconds += seconds(start.elapsed());
            Ok(())
        })?;
        // a case's truth goes with the case: those of a whole suite need too much memory
        let beyond: Vec<Mutex<Option<Ground>>> = beyond.into_iter().map(|g| Mutex::new(Some(g))).collect();
        spread(self.options.jobs, &beyond, |ground| {
            let ground = locked(ground).take();
            ground.map_or(Ok(()), |ground| self.everything(prey, &ground, right))
        })?;
        for prey in prey.iter().filter(|_| self.options.cases.is_empty()) {
            let mut prey = locked(prey);
            if prey.hunted.killed.is_none() {
                prey.hunted.through = Some(self.options.suite.name().to_owned());
                self.put(Line::Hunted(prey.hunted.clone()))?;
            }
        }
        Ok(())
    }

    /// One case, put to all that it may still say something about.
    fn everything(&self, prey: &[Mutex<Prey>], ground: &Ground, right: &[PathBuf]) -> Result<(), Error> {
        let case = ground.case.to_string();
        let found = |prey: &Prey| prey.hunted.killed.as_ref().is_some_and(|kill| kill.place < ground.place);
        let is_open = |prey: &&Mutex<Prey>| {
            let prey = locked(prey);
            !found(&prey) && !self.past.passed(&case, &prey.hunted.name)
        };
        if !prey.iter().any(|prey| is_open(&prey)) {
            return Ok(());
        }
        // first by itself, so that nobody waits for this case's truth
        let mut line = self.unchanged(ground, right)?;
        for prey in prey.iter().filter(is_open) {
            let mut own = locked(prey).clone();
            let start = Instant::now();
            let mut candidate = own.open(&self.options.open)?;
            // what another case has shown meanwhile does not count here
            own.hunted.killed = None;
            own.hunted.by.clear();
            own.face(ground, candidate.as_mut(), true);
            own.hunted.seconds = seconds(start.elapsed());
            if own.hunted.killed.is_none() {
                line.passed.insert(own.hunted.name.clone());
            }
            let mut prey = locked(prey);
            if prey.learn(own.hunted) {
                self.put(Line::Hunted(prey.hunted.clone()))?;
            }
        }
        self.put(Line::Unchanged(line))
    }
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

fn locked<X>(mutex: &Mutex<X>) -> MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_built_for_what_is_asked_of_wide_rows() {
        let of_seed = |seed| {
            let mut grounds = Ground::of("gated_delta_rule", Size::Soak);
            grounds.retain(|ground| ground.case.seed == seed && ground.case.problem.size(Dim::B) == 3);
            widths(&grounds)
        };
        assert_eq!((of_seed(160).contains(&128), of_seed(160).contains(&256)), (true, false));
        assert!(of_seed(161).contains(&256));
    }
}
