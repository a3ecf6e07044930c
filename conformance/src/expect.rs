//! What is known to fail or to be missing, with the reason; strict both ways.
//!
//! ```toml
//! [[expect]]
//! case = "gated_delta_rule(*allow_neg_eigval=true*)"   # a pattern for the whole case string
//! check = "*"
//! verdict = "declined"                                 # fail, declined or mistrusted
//! reason = "no such option in version 0.6.0"
//! ```
//! An entry that fits nothing in the suite is an error, and what passes although an entry says otherwise fails the run.
//! An error of which the size is known has a waiver instead; see `waiver.rs`.

mod waiver;

use std::path::{Path, PathBuf};

use reports::record::{Expected, Identity};
use reports::verdict::Verdict;
use serde::Deserialize;

use crate::case::Case;
use crate::check::{CHECKS, Check, applies};
use crate::glob::fits;
use crate::suite;
use waiver::{MOST, Waiver};

/// What built-in candidates are known to lack.
const EMBEDDED: [(&str, &str); 4] = [
    ("cpu", include_str!("../expectations/cpu.toml")),
    ("cuda", include_str!("../expectations/cuda.toml")),
    ("hip", include_str!("../expectations/hip.toml")),
    ("reference", include_str!("../expectations/reference.toml")),
];

/// Cases of the suite by which nobody can be judged, whoever is asked.
const BEYOND_JUDGING: (&str, &str) = ("mistrusted.toml", include_str!("../expectations/mistrusted.toml"));

/// Where the files lie that the program carries.
const CARRIED: &str = "<built in>/expectations";

/// An expectations file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a list of expectations.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, with the line.
        source: Box<toml::de::Error>,
    },
    /// An entry without a reason.
    #[error("{path}: the expectation for {case:?} has no reason")]
    Reason {
        /// The file.
        path: PathBuf,
        /// The entry's pattern.
        case: String,
    },
    /// An entry that fits nothing.
    #[error("{path}: no case of the suite fits case = {case:?} with check = {check:?}")]
    Unused {
        /// The file.
        path: PathBuf,
        /// The entry's pattern.
        case: String,
        /// The entry's pattern.
        check: String,
    },
    /// A waiver that is none.
    #[error("{path}: waiver {id:?}: {why}")]
    Waiver {
        /// The file.
        path: PathBuf,
        /// Its name.
        id: String,
        /// What is wrong with it.
        why: Why,
    },
}

/// How many cases of the largest suite, of the ops that a pattern can mean, fit it and have something to check for a
/// pattern of checks.
#[must_use]
pub fn fitting(case: &str, check: &str) -> usize {
    let checks: Vec<&Check> = CHECKS.iter().copied().filter(|c| fits(check, c.name)).collect();
    let name = case.split_once('(').map_or("*", |(name, _)| name);
    let cases = reference::specs().filter(|s| fits(name, s.name)).flat_map(|s| suite::cases_of(s, suite::Size::Soak));
    let fits = |c: &Case| fits(case, &c.to_string()) && checks.iter().any(|check| applies(c, check));
    cases.filter(fits).count()
}

/// What is wrong with a waiver.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Why {
    /// A field that says nothing.
    #[error("{field} is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// A name that another one has.
    #[error("another waiver has the same id")]
    Twice,
    /// A check that is not about how much.
    #[error("what check {check:?} finds is semantic, or there is no such check: neither can be waived")]
    Semantic {
        /// The check.
        check: String,
    },
    /// No such statistic.
    #[error("unknown statistic {got:?}, expected rms, max, block, state, tile, row or gain")]
    Statistic {
        /// What came.
        got: String,
    },
    /// No number up to which anything could be let pass.
    #[error("bound is {got}, expected a positive number")]
    Bound {
        /// What came.
        got: f64,
    },
    /// No range of versions.
    #[error("version is {got:?}, expected bounds such as \">=6.4, <6.6\"")]
    Version {
        /// What came.
        got: String,
    },
    /// No date.
    #[error("expires is {got:?}, expected a date such as \"2027-03-01\"")]
    Date {
        /// What came.
        got: String,
    },
    /// It is over.
    #[error("it expired on {on}")]
    Expired {
        /// When.
        on: String,
    },
    /// Too far ahead.
    #[error("it lasts until {until}, expected {days} days at most")]
    TooLong {
        /// Its last day.
        until: String,
        /// Days allowed.
        days: u64,
    },
    /// Too much at once.
    #[error("its pattern fits {cases} cases of the suite, expected {most} at most")]
    TooWide {
        /// How many.
        cases: usize,
        /// How many may be.
        most: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Fail,
    Declined,
    Mistrusted,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Declined => "declined",
            Self::Mistrusted => "mistrusted",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    case: String,
    check: String,
    verdict: Kind,
    reason: String,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    expect: Vec<Entry>,
    #[serde(default)]
    waiver: Vec<Waiver>,
}

/// Every expectation of a run.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    entries: Vec<Entry>,
    waivers: Vec<Waiver>,
}

impl Expectations {
    /// What is known of a built-in candidate, and what the files say.
    ///
    /// # Errors
    /// A file that cannot be read or is no list of expectations.
    pub fn load(candidate: &str, files: &[PathBuf]) -> Result<Self, Error> {
        let mut all = Self::default();
        let (name, text) = BEYOND_JUDGING;
        all.add(&Path::new(CARRIED).join(name), text)?;
        if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == candidate) {
            all.add(&Path::new(CARRIED).join(format!("{name}.toml")), text)?;
        }
        for path in files {
            let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            all.add(path, &text)?;
        }
        Ok(all)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<(), Error> {
        let file: File =
            toml::from_str(text).map_err(|source| Error::Parse { path: path.to_owned(), source: Box::new(source) })?;
        for entry in file.expect {
            if entry.reason.trim().is_empty() {
                return Err(Error::Reason { path: path.to_owned(), case: entry.case });
            }
            self.entries.push(Entry { path: path.to_owned(), ..entry });
        }
        for waiver in file.waiver {
            let waiver = waiver.sound(path, waiver::now())?;
            if self.waivers.iter().any(|w| w.id == waiver.id) {
                return Err(Error::Waiver { path: waiver.path, id: waiver.id, why: Why::Twice });
            }
            self.waivers.push(waiver);
        }
        Ok(())
    }

    /// The same without waivers for other devices and versions.
    #[must_use]
    pub fn of(mut self, identity: &Identity) -> Self {
        self.waivers.retain(|w| w.concerns(identity));
        self
    }

    /// Checks that every entry that no program carries fits something: how many cases a pattern of cases and one of
    /// checks fit is what `count` says. What the program carries is a matter for its own tests.
    ///
    /// # Errors
    /// The first entry that fits nothing, or waiver that fits too much.
    pub fn all_used(&self, count: impl Fn(&str, &str) -> usize) -> Result<(), Error> {
        let given = |path: &Path| !path.starts_with(CARRIED);
        let unused = |path: &Path, case: &str, check: &str| {
            let (path, case, check) = (path.to_owned(), case.to_owned(), check.to_owned());
            Error::Unused { path, case, check }
        };
        for e in self.entries.iter().filter(|e| given(&e.path)) {
            if count(&e.case, &e.check) == 0 {
                return Err(unused(&e.path, &e.case, &e.check));
            }
        }
        for w in self.waivers.iter().filter(|w| given(&w.path)) {
            let cases = count(&w.case, &w.check);
            if cases == 0 {
                return Err(unused(&w.path, &w.case, &w.check));
            }
            if cases > MOST {
                let why = Why::TooWide { cases, most: MOST };
                return Err(Error::Waiver { path: w.path.clone(), id: w.id.clone(), why });
            }
        }
        Ok(())
    }

    /// What the expectations make of a verdict.
    #[must_use]
    pub fn meaning(&self, case: &str, check: &str, verdict: &Verdict) -> Expected {
        let waivers: Vec<&Waiver> = self.waivers.iter().filter(|w| w.is_about(case, check)).collect();
        if !waivers.is_empty() && matches!(verdict, Verdict::Pass { .. }) {
            return Expected::Surprise;
        }
        if waiver::all_covered(&waivers, case, verdict) {
            return Expected::Waived;
        }
        // that a case cannot be judged excuses no failure and no refusal; a pass says that it can
        let judged = matches!(verdict, Verdict::Fail { .. } | Verdict::Declined { .. });
        let speaks = |e: &&Entry| e.verdict != Kind::Mistrusted || !judged;
        let fits = |e: &&Entry| fits(&e.case, case) && fits(&e.check, check);
        let mut fitting = self.entries.iter().filter(fits).filter(speaks).peekable();
        if fitting.peek().is_none() || matches!(verdict, Verdict::NotApplicable { .. }) {
            return Expected::Pass;
        }
        if fitting.any(|e| e.verdict.name() == verdict.kind()) { Expected::Waived } else { Expected::Surprise }
    }

    /// The waivers about this case and check, by name.
    #[must_use]
    pub fn waivers(&self, case: &str, check: &str) -> Vec<&str> {
        self.waivers.iter().filter(|w| w.is_about(case, check)).map(|w| w.id.as_str()).collect()
    }

    /// Why a waived verdict was expected.
    #[must_use]
    pub fn reason(&self, case: &str, check: &str) -> Option<&str> {
        let waiver = self.waivers.iter().find(|w| w.is_about(case, check)).map(|w| w.reason.as_str());
        let entry = || self.entries.iter().find(|e| fits(&e.case, case) && fits(&e.check, check));
        waiver.or_else(|| entry().map(|e| e.reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectations(text: &str) -> Result<Expectations, Error> {
        let mut all = Expectations::default();
        all.add(Path::new("test.toml"), text)?;
        Ok(all)
    }

    const ONE: &str = "[[expect]]\ncase = 'hgrn(*)'\ncheck = 'poison'\nverdict = 'fail'\nreason = 'known'\n";

    #[test]
    fn expectations_are_strict_both_ways() {
        let all = expectations(ONE).expect("valid");
        let failed = Verdict::Declined { reason: String::new() };
        let pass = Verdict::Pass { measures: Vec::new() };
        assert_eq!(all.meaning("hgrn(T=1)", "poison", &pass), Expected::Surprise);
        assert_eq!(all.meaning("hgrn(T=1)", "poison", &failed), Expected::Surprise, "declined is not failed");
        assert_eq!(all.meaning("hgrn(T=1)", "forward", &pass), Expected::Pass);
        let fault = reports::verdict::Fault::Error { message: String::new() };
        assert_eq!(all.meaning("hgrn(T=1)", "poison", &Verdict::Fail { fault, call: 0 }), Expected::Waived);
        let only = |known: &'static str| {
            move |case: &str, check: &str| usize::from(fits(case, "hgrn(T=1)") && fits(check, known))
        };
        assert!(all.all_used(only("poison")).is_ok());
        assert!(matches!(all.all_used(only("forward")), Err(Error::Unused { .. })));
    }

    #[test]
    fn a_case_beyond_judging_excuses_nothing_else() {
        let all = expectations(&ONE.replace("'fail'", "'mistrusted'")).expect("valid");
        let meaning = |verdict: &Verdict| all.meaning("hgrn(T=1)", "poison", verdict);
        let fault = reports::verdict::Fault::Error { message: String::new() };
        assert_eq!(meaning(&Verdict::Mistrusted { reason: String::new() }), Expected::Waived);
        assert_eq!(meaning(&Verdict::Fail { fault, call: 0 }), Expected::Pass, "a failure counts");
        assert_eq!(meaning(&Verdict::Declined { reason: String::new() }), Expected::Pass);
        assert_eq!(meaning(&Verdict::Pass { measures: Vec::new() }), Expected::Surprise, "it can be judged after all");
    }

    #[test]
    fn files_are_checked() {
        assert!(matches!(expectations("[[expect]]\ncase = 'x'\n"), Err(Error::Parse { .. })));
        assert!(matches!(expectations(&ONE.replace("'known'", "' '")), Err(Error::Reason { .. })));
        assert!(matches!(expectations(&ONE.replace("'fail'", "'pass'")), Err(Error::Parse { .. })));
        for (name, _) in EMBEDDED {
            let all = Expectations::load(name, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
            for e in all.entries {
                let own = [format!("{name}.toml").as_str(), BEYOND_JUDGING.0].map(|file| Path::new(CARRIED).join(file));
                assert!(own.contains(&e.path), "{name}: {}", e.path.display());
                assert!(fitting(&e.case, &e.check) > 0, "{}: nothing fits {} {}", e.path.display(), e.case, e.check);
            }
        }
        let lost = Expectations::load("cpu", &[PathBuf::from("/nonexistent.toml")]);
        assert!(matches!(lost, Err(Error::Read { .. })));
    }

    #[test]
    fn an_entry_fits_by_case_and_by_check() {
        assert!(fitting("hgrn(*", "forward") > 1);
        assert_eq!(fitting("hgrn(*", "forwrad"), 0);
        assert_eq!(fitting("hgrn(none*", "forward"), 0);
        let all = expectations(ONE).expect("valid");
        let reason = |case: &str, check: &str| all.reason(case, check).map(str::to_owned);
        assert_eq!(reason("hgrn(T=1)", "poison").as_deref(), Some("known"));
        assert_eq!((reason("hgrn(T=1)", "forward"), reason("gla(T=1)", "poison")), (None, None));
    }
}
