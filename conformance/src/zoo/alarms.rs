//! False alarms: right answers, judged. None may fail.
//!
//! Right answers are draws of the oracle at the declared precision, with seeds that no standard has seen, and those of
//! our host kernels, whose chunks and slices follow from width and type. A run is one such answer: its outputs and its
//! gradients; of the kernels' cases one in [`EVERY`] is put to all other checks as well.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use reference::rounded::{Rounding, STRATA};
use reference::tensor::Tensor;
use reports::verdict::Verdict;

use super::Error;
use super::ground::sample;
use super::past::Past;
use super::record::Alarms;
use crate::candidate::Candidate;
use crate::candidate::open::in_process;
use crate::case::{Case, products};
use crate::check::{Check, accurate, applicable};
use crate::examine::{ask, judge};
use crate::measure::{looked_again, rounding};
use crate::report::sentence;
use crate::suite::{self, Size};
use crate::truth::{Standards, Truth};

/// Largest number of products in a case: many small cases say more about chance than few large ones.
const PRODUCTS: usize = 200_000;

/// Draws of the oracle for each case and seed.
const DRAWS: u64 = 4;

/// Seeds of draws begin here, behind those of every standard, and none divides its chances with another.
const FIRST_DRAW: u64 = 1 << 20;

/// Seeds of cases are this far apart from round to round: those of a suite are smaller.
const ROUND: u64 = 1 << 16;

/// One case in so many meets every check with the kernels: nearly all of the time goes into their truths.
const EVERY: u64 = 8;

/// Where right answers come from.
const SOURCES: [&str; 2] = ["rounded", "kernels"];

/// Failures that are kept.
const EXAMPLES: usize = 20;

/// What became of right answers: of the oracle, of the kernels.
type Tally = [Alarms; 2];

/// Cases that were asked, and those of them before which none is missing.
struct Progress<T> {
    tally: Tally,
    /// Asked, while one before is not.
    early: BTreeMap<u64, Tally>,
    take: T,
}

/// Judges at least `runs` right answers of `op` by the oracle and as many by the kernels, those of `past` included.
/// What became of them so far is handed to `take` after every case; a campaign that is cut off goes on from there.
///
/// # Errors
/// Kernels that cannot be opened, and what `take` returns.
pub fn alarms(
    skeleton: &str,
    op: &str,
    runs: u64,
    jobs: usize,
    past: &Past,
    take: impl FnMut(&Tally) -> Result<(), Error> + Send,
) -> Result<Tally, Error> {
    let all = reference::spec(op).map_or(Vec::new(), |spec| suite::cases_of(spec, Size::Soak));
    let cases: Vec<Case> = all.into_iter().filter(|case| products(&case.problem) <= PRODUCTS).collect();
    let tally = SOURCES.map(|name| past.alarms(name).cloned().unwrap_or_else(|| Alarms::new(skeleton, name)));
    let enough = |tally: &Tally| cases.is_empty() || tally.iter().all(|alarms| alarms.runs >= runs);
    let (next, done) = (AtomicU64::new(tally[0].turns), AtomicBool::new(enough(&tally)));
    let progress = Mutex::new(Progress { tally, early: BTreeMap::new(), take });
    let work = || {
        let mut kernels = in_process("cpu")?;
        while !done.load(Ordering::Relaxed) {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let (round, place) = (turn / cases.len() as u64, turn % cases.len() as u64);
            let mut case = cases[place as usize].clone();
            case.seed += round * ROUND;
            // from round to round others
            let whole = (round + place).is_multiple_of(EVERY);
            let own = one(skeleton, &case, kernels.as_mut(), whole);
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            // the last ones asked may be beyond what was wanted: they go, so that a record does not depend on chance
            if !done.load(Ordering::Relaxed) && progress.add(turn, own, &enough)? {
                done.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let failure = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1))
            .map(|_| scope.spawn(|| work().inspect_err(|_: &Error| done.store(true, Ordering::Relaxed))))
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).find_map(Result::err)
    });
    failure.map_or_else(|| Ok(progress.into_inner().unwrap_or_else(PoisonError::into_inner).tally), Err)
}

impl<T: FnMut(&Tally) -> Result<(), Error>> Progress<T> {
    /// Takes up a case, and those behind it that waited; whether that is enough.
    fn add(&mut self, turn: u64, own: Tally, enough: &impl Fn(&Tally) -> bool) -> Result<bool, Error> {
        self.early.insert(turn, own);
        let before = self.tally[0].turns;
        while let Some(own) = self.early.remove(&self.tally[0].turns) {
            self.tally.iter_mut().zip(own).for_each(|(all, own)| all.add(own));
            if enough(&self.tally) {
                break;
            }
        }
        if self.tally[0].turns > before {
            (self.take)(&self.tally)?;
        }
        Ok(enough(&self.tally))
    }
}

/// A few draws and the kernels' answers, on one case.
fn one(skeleton: &str, case: &Case, kernels: &mut dyn Candidate, whole: bool) -> Tally {
    let truth = Truth::of(case);
    let [mut draws, mut own] = SOURCES.map(|name| Alarms { turns: 1, ..Alarms::new(skeleton, name) });
    // where every answer is exact, nobody is judged by what rounding costs
    let draws_of_case = if applicable(case).any(|check| check.name == "forward") { DRAWS } else { 0 };
    for k in 0..draws_of_case {
        let rounding = Rounding { seed: FIRST_DRAW + k * STRATA, ..rounding(case.dtype, 0) };
        draws.count(case, &format!("draw {k}"), drawn(case, &truth, &rounding));
    }
    let direct = |check: &&&Check| matches!(check.name, "forward" | "backward" | "lattice");
    let checks = applicable(case).filter(|check| whole || direct(&check));
    let verdicts = checks.map(|check| {
        let asked = ask(kernels, case, &truth, check);
        judge(case, &truth, check, &asked)
    });
    own.count(case, "kernels", verdicts.collect::<Vec<_>>());
    [draws, own]
}

/// The verdicts on one draw: on its outputs, and on its gradients. None where the oracle declines the question.
fn drawn(case: &Case, truth: &Truth, rounding: &Rounding) -> Vec<Verdict> {
    let Some([outputs, gradients]) = sample(case, truth, rounding) else { return Vec::new() };
    let mut verdicts = Vec::new();
    let mut put = |standards: &Standards, answers: &reference::tensor::Arrays| {
        let stored =
            |(name, values)| Some((String::clone(name), Tensor::from_array(values, standards.get(name)?.dtype)));
        verdicts.push(accurate(standards, &answers.iter().filter_map(stored).collect()));
    };
    if let Ok(standards) = truth.outputs() {
        put(&standards, &outputs);
    }
    if let (false, Ok(standards)) = (gradients.is_empty(), truth.gradients(&truth.cotangents)) {
        put(&standards, &gradients);
    }
    verdicts
}

impl Alarms {
    fn new(skeleton: &str, source: &str) -> Self {
        let (skeleton, source) = (skeleton.to_owned(), source.to_owned());
        let (examples, cases) = (Vec::new(), BTreeMap::new());
        Self { skeleton, source, turns: 0, runs: 0, mistrusted: 0, failed: 0, again: 0, examples, cases }
    }

    /// One run, of which any verdict may be a failure.
    fn count(&mut self, case: &Case, what: &str, verdicts: impl IntoIterator<Item = Verdict>) {
        let verdicts: Vec<Verdict> = verdicts.into_iter().collect();
        let failure = verdicts.iter().find(|v| matches!(v, Verdict::Fail { .. }));
        if let Some(failure) = failure {
            self.failed += 1;
            self.examples.push(format!("{case}, {what}: {}", sentence(failure)));
        }
        if failure.is_some() || verdicts.iter().any(|v| matches!(v, Verdict::Pass { .. })) {
            self.runs += 1;
            self.again += u64::from(verdicts.iter().any(looked_again));
            *self.cases.entry(case.dtype.to_string()).or_default() += 1;
        } else {
            self.mistrusted += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.turns += other.turns;
        self.runs += other.runs;
        self.mistrusted += other.mistrusted;
        self.failed += other.failed;
        self.again += other.again;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
        for (dtype, count) in other.cases {
            *self.cases.entry(dtype).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use reports::verdict::Measure;

    use super::*;

    #[test]
    fn an_answer_is_one_run_whatever_is_said_of_its_parts() {
        let case: Case = "hgrn(T=1,dtype=bf16)".parse().expect("valid");
        let pass = |runs| {
            let (port, statistic) = ("o".to_owned(), "rms".to_owned());
            let measure = Measure { port, statistic, error: 1.0, bound: 2.0, relative: 0.0, at: Vec::new(), runs };
            Verdict::Pass { measures: vec![measure] }
        };
        let mistrusted = || Verdict::Mistrusted { reason: "no".into() };
        let failure = || Verdict::Fail { fault: reports::verdict::Fault::Hang { seconds: 1.0 }, call: 0 };
        let told = |verdicts: Vec<Verdict>| {
            let mut alarms = Alarms::new("scan", "rounded");
            alarms.count(&case, "draw 0", verdicts);
            [alarms.runs, alarms.mistrusted, alarms.failed, alarms.again]
        };
        assert_eq!(told(vec![pass(12), pass(12)]), [1, 0, 0, 0]);
        assert_eq!(told(vec![pass(12), pass(48)]), [1, 0, 0, 1]);
        assert_eq!(told(vec![mistrusted(), pass(4)]), [1, 0, 0, 0]);
        assert_eq!(told(vec![pass(4), failure()]), [1, 0, 1, 0]);
        assert_eq!(told(vec![mistrusted(), mistrusted()]), [0, 1, 0, 0]);
        assert_eq!(told(Vec::new()), [0, 1, 0, 0]);
    }
}
