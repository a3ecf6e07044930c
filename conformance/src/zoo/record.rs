//! What campaigns leave: one JSON line for each fault, and one that says where and how.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};

use reports::record::Environment;
use serde::{Deserialize, Serialize};

use super::table::Kind;

/// Version of the format.
pub const FORMAT: u32 = 1;

/// The first sight of a fault by one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kill {
    /// The check.
    pub check: String,
    /// The case.
    pub case: String,
    /// The suite that the case is of.
    pub suite: String,
    /// The verdict, in a sentence.
    pub what: String,
    /// The case's place in the suite.
    pub place: usize,
}

/// What became of one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hunted {
    /// The skeleton, or `null`.
    pub skeleton: String,
    /// The op it was planted in.
    pub op: String,
    /// The fault.
    pub name: String,
    /// Faults of its like.
    pub class: String,
    /// What it changes.
    pub kind: Kind,
    /// Why no answer can show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equivalent: Option<String>,
    /// The check that found it first.
    pub killed: Option<Kill>,
    /// The suite that it went through whole without being found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// Every check that found it, each at its first case.
    pub by: Vec<Kill>,
    /// Rules of other projects that reject it in smoke, where they accept the kernels without it, with the case.
    pub rules: BTreeMap<String, String>,
    /// Outputs and gradients that were wrong in the first case in which any was.
    pub wrong: BTreeSet<String>,
    /// Seconds, compiler and oracle included.
    pub seconds: f64,
}

/// What is said of kernels without a fault, by case or of many together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    /// The skeleton.
    pub skeleton: String,
    /// The case; a later line about the same one stands in place of an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Cases that were asked.
    pub cases: usize,
    /// Verdicts, and how many of them were failures.
    pub verdicts: usize,
    /// Failures.
    pub failed: usize,
    /// The checks that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
    /// Cases that each rule rejects.
    pub rules: BTreeMap<String, usize>,
    /// Faults that no check finds on this case.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub passed: BTreeSet<String>,
}

/// Right answers that were judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarms {
    /// The skeleton.
    pub skeleton: String,
    /// Where the answers came from: `rounded` or `kernels`.
    pub source: String,
    /// Cases that were asked, from the first on.
    #[serde(default)]
    pub turns: u64,
    /// Answers that were judged.
    pub runs: u64,
    /// Answers of cases that cannot be judged, which do not count.
    pub mistrusted: u64,
    /// Answers that failed.
    pub failed: u64,
    /// Answers that had a second look, whatever came of it.
    #[serde(default)]
    pub again: u64,
    /// The first failures, in sentences.
    pub examples: Vec<String>,
    /// Cases, by storage type.
    pub cases: BTreeMap<String, u64>,
}

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "zoo", rename_all = "snake_case")]
pub enum Line {
    /// Where and how.
    Campaign {
        /// [`FORMAT`].
        format: u32,
        /// The skeleton.
        skeleton: String,
        /// The largest suite that was asked.
        suite: String,
        /// SHA-256 of the kernel sources of each op.
        kernels: BTreeMap<String, String>,
        /// The machine, the day, the command.
        environment: Environment,
    },
    /// A fault.
    Hunted(Hunted),
    /// The kernels as they are.
    Unchanged(Unchanged),
    /// Right answers.
    Alarms(Alarms),
}

/// A line that is none.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not a line of this format.
    #[error("line {line}: {source}")]
    Json {
        /// From 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// Writes a line.
///
/// # Errors
/// The writer's.
pub fn write(to: &mut impl Write, line: &Line) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    // at once, so that what is cut off loses whole lines
    to.write_all(&text)?;
    to.flush()
}

/// Reads lines.
///
/// # Errors
/// See [`ReadError`].
pub fn read(from: impl BufRead) -> Result<Vec<Line>, ReadError> {
    let mut lines = Vec::new();
    for (i, text) in from.lines().enumerate() {
        let text = text?;
        if !text.trim().is_empty() {
            lines.push(serde_json::from_str(&text).map_err(|source| ReadError::Json { line: i + 1, source })?);
        }
    }
    Ok(lines)
}

impl Line {
    /// The line that a campaign begins with.
    #[must_use]
    pub fn campaign(skeleton: &str, ops: &[&str], suite: &str) -> Self {
        let hash = |&op: &&str| Some((op.to_owned(), optimized::kernel_hash(op)?));
        Self::Campaign {
            format: FORMAT,
            skeleton: skeleton.to_owned(),
            suite: suite.to_owned(),
            kernels: ops.iter().filter_map(hash).collect(),
            environment: crate::environment::here(),
        }
    }
}
