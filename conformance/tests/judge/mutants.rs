//! Planted faults: each must be found, by the check that is there for it. A check that finds no fault which the others
//! miss has no place in the suite.

mod faults;

use faults::{Broken, FAULTS, Fault, honest};
use fla_conformance::case::Case;
use fla_conformance::check::{CHECKS, Check, applicable};
use fla_conformance::examine::{ask, judge};
use fla_conformance::report::sentence;
use fla_conformance::truth::Truth;
use reports::verdict::Verdict;

/// The check whose questions are too large to be asked here; its own test plants a fault at a smaller size.
const TOO_LARGE: &str = "wide";

/// The verdict of one check on a candidate with that fault, fresh from the start.
fn verdict(fault: &Fault, case: &Case, truth: &Truth, check: &Check) -> Verdict {
    let asked = ask(&mut Broken::new(fault), case, truth, check);
    judge(case, truth, check, &asked)
}

#[test]
fn every_fault_is_found() {
    for fault in FAULTS {
        let case: Case = fault.case.parse().expect(fault.case);
        let truth = Truth::of(&case);
        for check in applicable(&case) {
            let found = verdict(fault, &case, &truth, check);
            let failed = matches!(found, Verdict::Fail { .. });
            if check.name == fault.finder {
                assert!(failed, "{}: {} says {}: {}", fault.name, check.name, found.kind(), sentence(&found));
            } else if fault.alone {
                let passed = matches!(found, Verdict::Pass { .. });
                assert!(passed, "{}: {} says {}: {}", fault.name, check.name, found.kind(), sentence(&found));
            }
        }
    }
}

#[test]
fn without_a_fault_every_check_passes() {
    let none = Fault { name: "none", case: "", finder: "", alone: false, answer: |_, request| honest(request) };
    for fault in FAULTS {
        let case: Case = fault.case.parse().expect(fault.case);
        let truth = Truth::of(&case);
        for check in applicable(&case) {
            let found = verdict(&none, &case, &truth, check);
            let passed = matches!(found, Verdict::Pass { .. });
            assert!(passed, "{case}: {} says {}: {}", check.name, found.kind(), sentence(&found));
        }
    }
}

#[test]
fn every_check_finds_a_fault_that_no_other_finds() {
    for check in CHECKS {
        let own = FAULTS.iter().any(|f| f.alone && f.finder == check.name);
        assert!(own != (check.name == TOO_LARGE), "{} has no fault of its own", check.name);
    }
    for fault in FAULTS {
        assert!(CHECKS.iter().any(|c| c.name == fault.finder), "{}: no check {}", fault.name, fault.finder);
    }
}
