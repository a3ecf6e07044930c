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

use std::path::{Path, PathBuf};

use reports::record::Expected;
use reports::verdict::Verdict;
use serde::Deserialize;

use crate::glob::fits;

/// What built-in candidates are known to lack.
const EMBEDDED: [(&str, &str); 4] = [
    ("cpu", include_str!("../expectations/cpu.toml")),
    ("cuda", include_str!("../expectations/cuda.toml")),
    ("hip", include_str!("../expectations/hip.toml")),
    ("reference", include_str!("../expectations/reference.toml")),
];

/// Cases of the suite by which nobody can be judged, whoever is asked.
const BEYOND_JUDGING: (&str, &str) = ("mistrusted.toml", include_str!("../expectations/mistrusted.toml"));

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
}

/// Every expectation of a run.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    entries: Vec<Entry>,
}

impl Expectations {
    /// What is known of a built-in candidate, and what the files say.
    ///
    /// # Errors
    /// A file that cannot be read or is no list of expectations.
    pub fn load(candidate: &str, files: &[PathBuf]) -> Result<Self, Error> {
        let mut all = Self::default();
        let (name, text) = BEYOND_JUDGING;
        all.add(Path::new(&format!("expectations/{name}")), text)?;
        if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == candidate) {
            all.add(Path::new(&format!("expectations/{name}.toml")), text)?;
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
        Ok(())
    }

    /// Checks that every entry fits something: whether a pattern of cases and one of checks do is what `exists` says.
    ///
    /// # Errors
    /// The first entry that does not.
    pub fn all_used(&self, exists: impl Fn(&str, &str) -> bool) -> Result<(), Error> {
        match self.entries.iter().find(|e| !exists(&e.case, &e.check)) {
            None => Ok(()),
            Some(e) => Err(Error::Unused { path: e.path.clone(), case: e.case.clone(), check: e.check.clone() }),
        }
    }

    /// What the expectations make of a verdict.
    #[must_use]
    pub fn meaning(&self, case: &str, check: &str, verdict: &Verdict) -> Expected {
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

    /// Why a waived verdict was expected.
    #[must_use]
    pub fn reason(&self, case: &str, check: &str) -> Option<&str> {
        self.entries.iter().find(|e| fits(&e.case, case) && fits(&e.check, check)).map(|e| e.reason.as_str())
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
        let only = |known: &'static str| move |case: &str, check: &str| fits(case, "hgrn(T=1)") && fits(check, known);
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
            assert!(Expectations::load(name, &[]).is_ok(), "{name}");
        }
        let lost = Expectations::load("cpu", &[PathBuf::from("/nonexistent.toml")]);
        assert!(matches!(lost, Err(Error::Read { .. })));
    }
}
