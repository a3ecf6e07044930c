//! What a record says already: a campaign that was cut off goes on from there.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;

use super::record::{Alarms, Hunted, Line};
use super::table::SKELETONS;
use crate::suite::Size;

/// A record that a campaign cannot go on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// Another campaign's.
    #[error("it is of {found}, expected one of {expected}")]
    Skeleton {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Of kernels that have changed since.
    #[error("the kernels of {op} have changed since it was made; without --resume it is made anew")]
    Kernels {
        /// The op.
        op: String,
    },
}

/// What is known of faults and right answers.
#[derive(Debug, Clone, Default)]
pub struct Past {
    hunted: BTreeMap<[String; 2], Hunted>,
    /// Faults that no check finds, by case.
    passed: BTreeMap<String, BTreeSet<String>>,
    alarms: Vec<Alarms>,
}

impl Past {
    /// What these lines say of a skeleton.
    ///
    /// # Errors
    /// Lines of another skeleton, or of kernels that have changed.
    pub fn of(lines: &[Line], skeleton: &str) -> Result<Self, Foreign> {
        let (mut past, mut asked) = (Self::default(), "");
        for line in lines {
            match line {
                Line::Campaign { skeleton: found, suite, kernels, .. } => {
                    if found != skeleton {
                        return Err(Foreign::Skeleton { found: found.clone(), expected: skeleton.to_owned() });
                    }
                    // what computes nothing, or in Python, does not run the kernels
                    let concerned = SKELETONS.contains(&skeleton);
                    let changed = |(op, hash): &(&String, &String)| optimized::kernel_hash(op).as_ref() != Some(*hash);
                    if let Some((op, _)) = kernels.iter().filter(|_| concerned).find(changed) {
                        return Err(Foreign::Kernels { op: op.clone() });
                    }
                    asked = suite;
                }
                Line::Hunted(hunted) => {
                    let mut hunted = hunted.clone();
                    if hunted.killed.is_none() {
                        hunted.through.get_or_insert_with(|| asked.to_owned());
                    }
                    past.hunted.insert([hunted.op.clone(), hunted.name.clone()], hunted);
                }
                Line::Unchanged(right) => {
                    if let Some(case) = &right.case {
                        past.passed.entry(case.clone()).or_default().extend(right.passed.iter().cloned());
                    }
                }
                Line::Alarms(alarms) => past.alarms.push(alarms.clone()),
            }
        }
        Ok(past)
    }

    /// What became of a fault so far.
    pub(super) fn hunted(&self, op: &str, name: &str) -> Option<&Hunted> {
        self.hunted.get(&[op.to_owned(), name.to_owned()])
    }

    /// Whether some check has found a fault.
    #[must_use]
    pub fn has_found(&self, op: &str, name: &str) -> bool {
        self.hunted(op, name).is_some_and(|hunted| hunted.killed.is_some())
    }

    /// Whether nothing of a suite is left to ask about a fault.
    #[must_use]
    pub(super) fn is_done(&self, hunted: &Hunted, suite: Size) -> bool {
        hunted.killed.is_some() || through(hunted) >= Some(suite)
    }

    /// Whether no check finds a fault on a case.
    pub(super) fn passed(&self, case: &str, name: &str) -> bool {
        self.passed.get(case).is_some_and(|names| names.contains(name))
    }

    /// Right answers of a source that were judged.
    pub(super) fn alarms(&self, source: &str) -> Option<&Alarms> {
        self.alarms.iter().rev().find(|alarms| alarms.source == source)
    }
}

/// The suite that a fault went through whole.
pub(super) fn through(hunted: &Hunted) -> Option<Size> {
    Size::from_str(hunted.through.as_deref()?, false).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::record::{Kill, Unchanged};
    use super::super::table::Kind;
    use super::*;

    fn hunted(name: &str, through: Option<&str>) -> Hunted {
        Hunted {
            skeleton: "null".into(),
            op: "hgrn".into(),
            name: name.into(),
            class: "null".into(),
            kind: Kind::Semantic,
            equivalent: None,
            killed: None,
            through: through.map(str::to_owned),
            by: Vec::new(),
            rules: BTreeMap::new(),
            wrong: BTreeSet::new(),
            seconds: 0.0,
        }
    }

    fn right(case: &str, passed: &[&str]) -> Line {
        Line::Unchanged(Unchanged {
            skeleton: "null".into(),
            case: Some(case.to_owned()),
            cases: 1,
            verdicts: 3,
            failed: 0,
            failing: Vec::new(),
            rules: BTreeMap::new(),
            passed: passed.iter().map(|&name| name.to_owned()).collect(),
        })
    }

    #[test]
    fn what_was_found_or_went_through_is_done() {
        let [check, case, suite, what] = ["forward", "hgrn(T=1)", "smoke", "wrong"].map(str::to_owned);
        let killed = Some(Kill { check, case, suite, what, place: 0 });
        let lines = [
            Line::campaign("null", &["hgrn"], "full"),
            Line::Hunted(hunted("found later", Some("smoke"))),
            Line::Hunted(hunted("smoke alone", Some("smoke"))),
            Line::Hunted(hunted("whole", None)),
            right("hgrn(T=2)", &["smoke alone"]),
            right("hgrn(T=2)", &["found later"]),
            Line::Hunted(Hunted { killed, ..hunted("found later", None) }),
        ];
        let past = Past::of(&lines, "null").expect("a record of this skeleton");
        let done = |name| past.hunted("hgrn", name).is_some_and(|h| past.is_done(h, Size::Full));
        assert!(done("found later") && done("whole") && !done("smoke alone") && !done("never heard of"));
        assert!(past.is_done(&hunted("", Some("smoke")), Size::Smoke));
        assert!(past.passed("hgrn(T=2)", "smoke alone") && past.passed("hgrn(T=2)", "found later"));
        assert!(!past.passed("hgrn(T=2)", "whole") && !past.passed("hgrn(T=3)", "smoke alone"));
    }

    #[test]
    fn a_record_of_another_campaign_is_refused() {
        let other = Past::of(&[Line::campaign("scan", &["hgrn"], "full")], "chunk");
        assert_eq!(other.err(), Some(Foreign::Skeleton { found: "scan".into(), expected: "chunk".into() }));
        let mut line = Line::campaign("scan", &["hgrn"], "full");
        assert!(Past::of(std::slice::from_ref(&line), "scan").is_ok());
        if let Line::Campaign { kernels, .. } = &mut line {
            kernels.insert("hgrn".into(), "of long ago".into());
        }
        assert_eq!(Past::of(&[line], "scan").err(), Some(Foreign::Kernels { op: "hgrn".into() }));
    }
}
