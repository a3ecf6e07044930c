//! Counts that a run ends with.

use crate::record::{Expected, Judged, Run};
use crate::verdict::Verdict;

/// How many cases ended how. Every judged case is in exactly one of the first six.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Right, as expected.
    pub passed: usize,
    /// Wrong, and not expected to be.
    pub failed: usize,
    /// Declined without an expectation.
    pub declined: usize,
    /// Could not have failed.
    pub mistrusted: usize,
    /// The check needs what the candidate does not have.
    pub not_applicable: usize,
    /// As an expectation file says.
    pub waived: usize,
    /// Of those passed: against an expectation, which fails the run.
    pub surprises: usize,
}

impl Summary {
    /// Everything that was judged.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.passed + self.failed + self.skipped()
    }

    /// The counts of these runs together.
    #[must_use]
    pub fn of(runs: &[Run]) -> Self {
        runs.iter().flat_map(|run| &run.judged).fold(Self::default(), Self::with)
    }

    /// Cases of which nothing was judged.
    #[must_use]
    pub const fn skipped(&self) -> usize {
        self.declined + self.mistrusted + self.not_applicable + self.waived
    }

    /// Whether everything was as expected.
    #[must_use]
    pub const fn as_expected(&self) -> bool {
        self.failed + self.declined + self.mistrusted + self.surprises == 0
    }

    /// The same with one more.
    #[must_use]
    pub fn with(mut self, judged: &Judged) -> Self {
        match (judged.expected, &judged.verdict) {
            (Expected::Waived, _) => self.waived += 1,
            (_, Verdict::Pass { measures }) if measures.iter().all(crate::verdict::Measure::within) => {
                self.passed += 1;
                self.surprises += usize::from(judged.expected == Expected::Surprise);
            }
            (_, Verdict::Pass { .. } | Verdict::Fail { .. }) => self.failed += 1,
            (_, Verdict::Declined { .. }) => self.declined += 1,
            (_, Verdict::Mistrusted { .. }) => self.mistrusted += 1,
            (_, Verdict::NotApplicable { .. }) => self.not_applicable += 1,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Measure;

    fn judged(verdict: Verdict, expected: Expected) -> Judged {
        let [op, case, check, suite, ran] = ["op", "op(T=1)", "forward", "smoke", ""].map(str::to_owned);
        Judged { op, case, check, suite, verdict, expected, seconds: 0.0, ran }
    }

    #[test]
    fn a_pass_with_a_nan_is_a_failure() {
        let nan = Measure {
            port: "o".into(),
            statistic: "rms".into(),
            error: f64::NAN,
            bound: 1.0,
            relative: 0.0,
            at: vec![],
            runs: 4,
        };
        let summary = Summary::default().with(&judged(Verdict::Pass { measures: vec![nan] }, Expected::Pass));
        assert_eq!((summary.passed, summary.failed), (0, 1));
        assert!(!summary.as_expected());
    }

    #[test]
    fn a_surprise_fails_the_run_and_a_waiver_does_not() {
        let pass = Verdict::Pass { measures: vec![] };
        assert!(!Summary::default().with(&judged(pass, Expected::Surprise)).as_expected());
        let declined = Verdict::Declined { reason: "no".into() };
        assert!(Summary::default().with(&judged(declined.clone(), Expected::Waived)).as_expected());
        assert!(!Summary::default().with(&judged(declined, Expected::Pass)).as_expected());
    }
}
