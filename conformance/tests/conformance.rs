//! The smoke suite against the host kernels, one trial for each case and check.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fla_conformance::candidate::Candidate;
use fla_conformance::candidate::open::{OpenOptions, open};
use fla_conformance::case::Case;
use fla_conformance::check::{Check, applicable};
use fla_conformance::examine::{ask, judge};
use fla_conformance::expect::Expectations;
use fla_conformance::report::sentence;
use fla_conformance::run::reproducer;
use fla_conformance::suite::{Size, cases};
use fla_conformance::truth::Truth;
use libtest_mimic::{Arguments, Failed, Trial};
use reports::record::Expected;
use reports::verdict::Verdict;

const CANDIDATE: &str = "cpu";

/// Opened by the first trial that runs, so that listing costs nothing; one call at a time.
static CANDIDATES: OnceLock<Mutex<Box<dyn Candidate>>> = OnceLock::new();

fn main() {
    let arguments = Arguments::from_args();
    let trials = cases(Size::Smoke).into_iter().flat_map(|case| {
        let truth = Arc::new(OnceLock::new());
        let case = Arc::new(case);
        applicable(&case).map(|check| trial(&case, &truth, check)).collect::<Vec<_>>()
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn trial(case: &Arc<Case>, truth: &Arc<OnceLock<Truth>>, check: &'static Check) -> Trial {
    let (case, truth) = (Arc::clone(case), Arc::clone(truth));
    Trial::test(format!("{case} {}", check.name), move || examine(&case, truth.get_or_init(|| Truth::of(&case)), check))
}

fn examine(case: &Case, truth: &Truth, check: &Check) -> Result<(), Failed> {
    let asked = {
        let opened = CANDIDATES.get_or_init(|| match open(CANDIDATE, &OpenOptions::default()) {
            Ok(candidate) => Mutex::new(candidate),
            Err(error) => panic!("{error}"),
        });
        let mut candidate = opened.lock().unwrap_or_else(PoisonError::into_inner);
        ask(candidate.as_mut(), case, truth, check)
    };
    let verdict = judge(case, truth, check, &asked);
    let text = case.to_string();
    let meaning = Expectations::load(CANDIDATE, &[])?.meaning(&text, check.name, &verdict);
    match (&verdict, meaning) {
        (Verdict::Pass { .. }, Expected::Pass) | (_, Expected::Waived) => Ok(()),
        _ => Err(format!("{}: {}\n  {}", verdict.kind(), sentence(&verdict), reproducer(CANDIDATE, &text, check.name))
            .into()),
    }
}
