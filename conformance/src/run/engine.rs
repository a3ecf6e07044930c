//! Workers, and the candidates they share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Instant;

use reports::verdict::Verdict;

use crate::candidate::{Candidate, Request};
use crate::case::Case;
use crate::check::Check;
use crate::examine::{ask, judge};
use crate::truth::Truth;
use crate::truth::shelf::Shelf;

/// A case and the checks to make.
#[derive(Debug, Clone)]
pub struct Task {
    /// The case.
    pub case: Case,
    /// The checks.
    pub checks: Vec<&'static Check>,
}

/// What came of one check of one case.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// The check.
    pub check: &'static Check,
    /// The verdict.
    pub verdict: Verdict,
    /// The call that shows a failure.
    pub call: Option<Request>,
    /// Kernels or back end that really ran.
    pub ran: String,
    /// Seconds spent, oracle included.
    pub seconds: f64,
}

/// Judges every task and hands each outcome to `take`, on this thread, as it comes. Truths come from the shelf when they
/// are there, and go there when they are not.
///
/// # Errors
/// The first error of `take`; what is under way is finished and dropped.
pub fn judge_all<E>(
    tasks: &[Task],
    candidates: Vec<Box<dyn Candidate>>,
    workers: usize,
    shelf: Option<&Arc<Shelf>>,
    mut take: impl FnMut(Outcome) -> Result<(), E>,
) -> Result<(), E> {
    let pool = Pool { idle: Mutex::new(candidates), returned: Condvar::new() };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, tasks.len().max(1)) {
            let (sender, pool, next, stop) = (sender.clone(), &pool, &next, &stop);
            scope.spawn(move || {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    examine(task, shelf, pool, stop, &sender);
                }
            });
        }
        drop(sender);
        for outcome in receiver {
            if let Err(error) = take(outcome) {
                stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    })
}

fn examine(task: &Task, shelf: Option<&Arc<Shelf>>, pool: &Pool, stop: &AtomicBool, sender: &mpsc::Sender<Outcome>) {
    let truth = Truth::of(&task.case).on(shelf.cloned());
    for &check in &task.checks {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let start = Instant::now();
        let mut asked = pool.lend(|candidate| ask(candidate, &task.case, &truth, check));
        let verdict = judge(&task.case, &truth, check, &asked);
        let call = match &verdict {
            Verdict::Fail { call, .. } if *call < asked.requests.len() => Some(asked.requests.swap_remove(*call)),
            _ => None,
        };
        let seconds = start.elapsed().as_secs_f64();
        let outcome = Outcome { case: task.case.clone(), check, verdict, call, ran: asked.ran, seconds };
        if sender.send(outcome).is_err() {
            return;
        }
    }
}

/// Candidates, lent to one worker at a time.
struct Pool {
    idle: Mutex<Vec<Box<dyn Candidate>>>,
    returned: Condvar,
}

impl Pool {
    fn lend<R>(&self, work: impl FnOnce(&mut dyn Candidate) -> R) -> R {
        let mut candidate = {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let mut idle = self.returned.wait_while(idle, |i| i.is_empty()).unwrap_or_else(PoisonError::into_inner);
            idle.pop().expect("waited until there is one")
        };
        let result = work(candidate.as_mut());
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(candidate);
        self.returned.notify_one();
        result
    }
}
