//! A fault on its way through the cases, and who finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use reports::verdict::Verdict;

use super::Error;
use super::build::{self, Workshop};
use super::ground::Ground;
use super::nulls::{NULLS, Null, NullCandidate};
use super::past::Past;
use super::record::{Hunted, Kill};
use super::rules::Rule;
use super::table::{Kind, Mutant, Table};
use crate::candidate::Candidate;
use crate::candidate::open::{OpenOptions, open, planted};
use crate::check::{Check, applicable};
use crate::environment::quoted;
use crate::report::sentence;
use crate::suite::Size;

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

    /// Whether no answer can show it.
    #[must_use]
    pub fn is_equivalent(&self) -> bool {
        self.facts().2.is_some()
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
pub(super) struct Prey {
    fault: Fault,
    /// Libraries with the fault, or the script.
    files: Vec<PathBuf>,
    pub(super) hunted: Hunted,
}

impl Prey {
    /// A fault that no record has been through the suite with; nothing for one of which there is nothing left to ask.
    pub(super) fn new(skeleton: &str, op: &str, fault: Fault, past: &Past, suite: Size) -> Option<Self> {
        if let Some(hunted) = past.hunted(op, fault.name()) {
            let hunted = hunted.clone();
            return (!past.is_done(&hunted, suite)).then_some(Self { fault, files: Vec::new(), hunted });
        }
        let (class, kind, equivalent) = fault.facts();
        let hunted = Hunted {
            skeleton: skeleton.to_owned(),
            op: op.to_owned(),
            name: fault.name().to_owned(),
            class: class.to_owned(),
            kind,
            equivalent,
            killed: None,
            through: None,
            by: Vec::new(),
            rules: BTreeMap::new(),
            wrong: BTreeSet::new(),
            seconds: 0.0,
        };
        Some(Self { fault, files: Vec::new(), hunted })
    }

    /// Compiles what the fault is in, for kernels of these padded widths.
    pub(super) fn build(&mut self, workshop: &Workshop, widths: &[usize], name: &str) -> Result<(), build::Error> {
        match &self.fault {
            Fault::Planted(mutant) => self.files.extend(workshop.library(&self.hunted.op, mutant, widths, name)?),
            Fault::Template(mutant) if self.files.is_empty() => self.files.push(workshop.script(mutant, name)?),
            Fault::Template(_) | Fault::Null(_) => {}
        }
        Ok(())
    }

    /// Whether there is something to open.
    pub(super) fn is_built(&self) -> bool {
        !self.files.is_empty()
    }

    pub(super) fn open(&self, options: &OpenOptions) -> Result<Box<dyn Candidate>, Error> {
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

    /// One case, every check that has not found the fault yet and has nothing against the kernels without it.
    pub(super) fn face(&mut self, ground: &Ground, candidate: &mut dyn Candidate, first: bool) {
        for check in applicable(&ground.case) {
            let direct = matches!(check.name, "forward" | "backward");
            let compared = direct && ground.suite == Size::Smoke && self.hunted.rules.len() < Rule::ALL.len();
            // what computes nothing agrees with itself: only the truth tells
            let pointless = matches!(self.fault, Fault::Null(_)) && !direct;
            let unfounded = ground.right.get().is_some_and(|right| right.failing.contains(&check.name));
            if pointless || unfounded || self.found_by(check) && (first || !compared) {
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
        let unfounded = ground.right.get().map_or(&[][..], |right| &right.rejecting);
        for rule in rejecting.iter().filter(|r| !unfounded.contains(r)) {
            self.hunted.rules.entry(rule.name().to_owned()).or_insert_with(|| ground.case.to_string());
        }
    }

    /// What was found on another case meanwhile, the first in the suite's order counts; whether anything was.
    pub(super) fn learn(&mut self, other: Hunted) -> bool {
        self.hunted.seconds += other.seconds;
        let is_found = other.killed.is_some();
        self.hunted.wrong.extend(other.wrong);
        let first = [self.hunted.killed.take(), other.killed].into_iter().flatten().min_by_key(|kill| kill.place);
        self.hunted.killed = first;
        if self.hunted.killed.is_some() {
            self.hunted.through = None;
        }
        for kill in other.by {
            if !self.hunted.by.iter().any(|known| known.check == kill.check) {
                self.hunted.by.push(kill);
            }
        }
        is_found
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
