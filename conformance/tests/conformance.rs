//! The smoke suite, one trial for each case and check: all of it against the host kernels, what has none against the
//! oracle's own code. There a correct answer is certain and what is tried is the judge, so that a part is asked: of ops
//! and modules every fourth case, of layers and models, whose floors take the tapes of all their ops, the first ones.
//! The others are work for `fla-conformance run --candidate reference`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use fla_conformance::candidate::Candidate;
use fla_conformance::candidate::open::in_process;
use fla_conformance::case::Case;
use fla_conformance::check::{Check, applicable};
use fla_conformance::environment::jobs;
use fla_conformance::examine::{ask, judge};
use fla_conformance::expect::Expectations;
use fla_conformance::report::sentence;
use fla_conformance::run::reproducer;
use fla_conformance::suite::{Size, cases};
use fla_conformance::truth::Truth;
use libtest_mimic::{Arguments, Failed, Trial};
use reference::spec::{Level, OpSpec};
use reports::record::Expected;
use reports::verdict::Verdict;

/// Whether a spec is tried at the case of this number, from 0.
fn tried(spec: &OpSpec, number: usize) -> bool {
    match spec.level {
        _ if with_candidate(spec.name, |name, _| name == "cpu") => true,
        // types, profiles and attributes recur at other strides
        Level::Op | Level::Module => number.is_multiple_of(4),
        Level::Layer => number < 3,
        Level::Model => number < 1,
    }
}

thread_local! {
    /// One call at a time: each thread has its own.
    static CANDIDATES: RefCell<[(&'static str, Box<dyn Candidate>); 2]> = RefCell::new(
        ["cpu", "reference"].map(|name| (name, in_process(name).unwrap_or_else(|error| panic!("{error}")))),
    );
}

/// Lends the first candidate that has the op, with its name.
fn with_candidate<R>(op: &str, f: impl FnOnce(&'static str, &mut dyn Candidate) -> R) -> R {
    CANDIDATES.with_borrow_mut(|candidates| {
        let found = candidates.iter_mut().find(|(_, c)| c.ops().iter().any(|known| known == op));
        let (name, candidate) = found.unwrap_or_else(|| panic!("no candidate has {op}"));
        f(name, candidate.as_mut())
    })
}

fn main() {
    let arguments = Arguments::from_args();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut asked = |case: &Case| {
        let number = seen.entry(case.problem.spec.name).or_default();
        *number += 1;
        tried(case.problem.spec, *number - 1)
    };
    let cases = cases(Size::Smoke).into_iter().filter(|case| asked(case));
    let trials = cases.map(|case| {
        let truth = Arc::new(OnceLock::new());
        let case = Arc::new(case);
        applicable(&case).map(|check| trial(&case, &truth, check)).collect()
    });
    libtest_mimic::run(&arguments, in_turns(trials.collect())).exit();
}

/// The trials of as many cases as there are threads by turns, so that none waits for the truth that another works out.
fn in_turns(cases: Vec<Vec<Trial>>) -> Vec<Trial> {
    let threads = jobs(None);
    let (mut cases, mut trials) = (cases.into_iter().map(Vec::into_iter), Vec::new());
    loop {
        let mut together: Vec<_> = cases.by_ref().take(threads).collect();
        if together.is_empty() {
            return trials;
        }
        loop {
            let before = trials.len();
            trials.extend(together.iter_mut().filter_map(Iterator::next));
            if trials.len() == before {
                break;
            }
        }
    }
}

fn trial(case: &Arc<Case>, truth: &Arc<OnceLock<Truth>>, check: &'static Check) -> Trial {
    let (case, truth) = (Arc::clone(case), Arc::clone(truth));
    Trial::test(format!("{case} {}", check.name), move || examine(&case, truth.get_or_init(|| Truth::of(&case)), check))
}

fn examine(case: &Case, truth: &Truth, check: &Check) -> Result<(), Failed> {
    let (name, asked) = with_candidate(case.problem.spec.name, |name, c| (name, ask(c, case, truth, check)));
    let verdict = judge(case, truth, check, &asked);
    let text = case.to_string();
    let meaning = Expectations::load(name, &[])?.meaning(&text, check.name, &verdict);
    match (&verdict, meaning) {
        (Verdict::Pass { .. }, Expected::Pass) | (_, Expected::Waived) => Ok(()),
        // the oracle's own code has no memory of its own to poison
        (Verdict::NotApplicable { .. }, _) if name == "reference" => Ok(()),
        // nor can all be asked of the host kernels: they have few ops that others are special cases of
        (Verdict::NotApplicable { .. }, _) if check.name != "poison" => Ok(()),
        _ => {
            Err(format!("{}: {}\n  {}", verdict.kind(), sentence(&verdict), reproducer(name, &text, check.name)).into())
        }
    }
}
