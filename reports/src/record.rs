//! Records: one JSON line for each thing that was judged or timed. Everything people read is made from these.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::verdict::{Measure, Verdict};

/// Version of the record format.
pub const FORMAT: u32 = 1;

/// What was under test.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Name by which it was asked for: `cpu`, `cuda`, `fla (chunk)`.
    pub name: String,
    /// Its own version string.
    pub version: String,
    /// Device it ran on.
    pub device: String,
    /// For kernels of ours: by op the SHA-256 of the sources that it is made of.
    #[serde(default)]
    pub kernels: BTreeMap<String, String>,
}

/// Where and how a run was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the suite, with the commit when known.
    pub suite: String,
    /// UTC date, `2026-11-24`.
    pub date: String,
    /// The command line.
    pub command: String,
    /// The candidate as it was asked for: a name, a command line, a path. Empty when nobody was asked by name.
    #[serde(default)]
    pub asked: String,
    /// Operating system, processor, cores, memory, driver, runtime, compiler … by name.
    pub machine: BTreeMap<String, String>,
    /// By op the SHA-256 of the precision that it was held to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub precision: BTreeMap<String, String>,
}

/// How an expectation changed the meaning of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// No expectation: pass and not_applicable are fine, everything else fails the run.
    Pass,
    /// An expectation file says that this fails or is declined, and so it was.
    Waived,
    /// An expectation file says that this fails or is declined, and it did not.
    Surprise,
}

/// One judged case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Op (or module, layer, model).
    pub op: String,
    /// The case string: name, filter and reproducer.
    pub case: String,
    /// Check.
    pub check: String,
    /// Suite it belongs to.
    pub suite: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What an expectation file made of it.
    pub expected: Expected,
    /// Seconds spent, oracle included.
    pub seconds: f64,
    /// Kernels or back end that really ran, as the candidate reports.
    pub ran: String,
}

/// What a device did meanwhile, seen from outside: least, median and greatest of each reading.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceState {
    /// How often it was looked at.
    pub samples: usize,
    /// Clock of the multiprocessors.
    pub sm_mhz: Option<[f64; 3]>,
    /// Clock of the memory.
    pub memory_mhz: Option<[f64; 3]>,
    /// Temperature.
    pub celsius: Option<[f64; 3]>,
    /// Power drawn.
    pub watts: Option<[f64; 3]>,
    /// Reasons that held its clocks back, as the driver names them; idling is none.
    pub throttled: Vec<String>,
    /// What could not be seen, and why.
    pub unseen: Option<String>,
}

/// One timed case.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timed {
    /// Op.
    pub op: String,
    /// The case string.
    pub case: String,
    /// `forward` or `forward+backward`.
    pub pass: String,
    /// Device nanoseconds of each iteration after warm-up.
    pub times_ns: Vec<f64>,
    /// Most device memory in use beyond inputs, bytes.
    pub peak_bytes: Option<u64>,
    /// Memory beyond inputs and outputs, bytes.
    pub workspace_bytes: Option<u64>,
    /// Least possible time on this device, nanoseconds, when its ceilings are known.
    pub floor_ns: Option<f64>,
    /// Least bytes moved and operations done: what the floor was computed from.
    pub least_bytes: Option<f64>,
    /// Least floating-point operations.
    pub least_flops: Option<f64>,
    /// How the floor was computed, with its numbers.
    #[serde(default)]
    pub floor: String,
    /// How the times were taken: by device events, by the wall clock.
    #[serde(default)]
    pub timed_by: String,
    /// Host nanoseconds that it takes to queue one call, after the first: a median.
    #[serde(default)]
    pub host_ns: Option<f64>,
    /// Nanoseconds from the first question of this op, type, width and pass to its answer: what is compiled and tuned
    /// for it is in there, unless it was kept from before.
    #[serde(default)]
    pub first_call_ns: Option<f64>,
    /// Errors at the small case that was judged before anything was timed, in units of the floor.
    #[serde(default)]
    pub errors: Vec<Measure>,
    /// That case.
    #[serde(default)]
    pub judged_at: String,
    /// The device while this was timed.
    #[serde(default)]
    pub device_state: DeviceState,
    /// Kernels or back end that really ran.
    pub ran: String,
    /// Verdict on a sample of the timed outputs; a time counts only when it passes.
    pub checked: bool,
    /// Why there is no time, when there is none.
    pub problem: Option<String>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// First line of a run: who, where, how. The lines after it belong to it.
    Run {
        /// Version of the format.
        format: u32,
        /// What was under test.
        candidate: Identity,
        /// Where and how.
        environment: Environment,
    },
    /// A judged case.
    Judged(Judged),
    /// A timed case.
    Timed(Box<Timed>),
}

/// One run: a candidate, an environment, and what was found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// What was under test.
    pub candidate: Identity,
    /// Where and how.
    pub environment: Environment,
    /// Judged cases, in order.
    pub judged: Vec<Judged>,
    /// Timed cases, in order.
    pub timed: Vec<Timed>,
}

impl Run {
    /// What to ask for to have this candidate again.
    #[must_use]
    pub fn asked(&self) -> &str {
        if self.environment.asked.is_empty() { &self.candidate.name } else { &self.environment.asked }
    }
}

/// A records file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read records: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not a record.
    #[error("line {line} is not a record: {source}")]
    Parse {
        /// Line number from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A record before any run line, or a format this version does not know.
    #[error("line {line}: {message}")]
    Order {
        /// Line number from 1.
        line: usize,
        /// Why.
        message: String,
    },
}

/// Reads the runs of a records file; several runs may follow one another. A last line that was still being written when
/// its run was stopped is none.
///
/// # Errors
/// Unreadable input, a line that is not a record, records without a run.
pub fn read(input: impl BufRead) -> Result<Vec<Run>, ReadError> {
    let mut runs: Vec<Run> = Vec::new();
    let mut lines = input.lines().enumerate().peekable();
    while let Some((i, text)) = lines.next() {
        let (text, line) = (text?, i + 1);
        if text.trim().is_empty() {
            continue;
        }
        let orphan = || ReadError::Order { line, message: "a record before the first run line".into() };
        let parsed = match serde_json::from_str(&text) {
            Err(torn) if torn.is_eof() && lines.peek().is_none() && !runs.is_empty() => break,
            parsed => parsed.map_err(|source| ReadError::Parse { line, source })?,
        };
        match parsed {
            Line::Run { format, .. } if format != FORMAT => {
                let message = format!("records of format {format}; this version reads format {FORMAT}");
                return Err(ReadError::Order { line, message });
            }
            Line::Run { candidate, environment, .. } => {
                runs.push(Run { candidate, environment, ..Run::default() });
            }
            Line::Judged(j) => runs.last_mut().ok_or_else(orphan)?.judged.push(j),
            Line::Timed(t) => runs.last_mut().ok_or_else(orphan)?.timed.push(*t),
        }
    }
    Ok(runs)
}

/// Writes one line and flushes it, so that an interrupted run keeps what it has.
///
/// # Errors
/// When the output cannot be written.
pub fn write(output: &mut impl Write, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *output, line)?;
    output.write_all(b"\n")?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Fault;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let message = || "no".to_owned();
        let faults = [
            Fault::Hang { seconds: 2.0 },
            Fault::Crash { message: message() },
            Fault::OutOfMemory { message: message() },
        ];
        let judged = |fault| Judged {
            op: "hgrn".into(),
            case: "hgrn(T=1)".into(),
            check: "forward".into(),
            suite: "smoke".into(),
            verdict: Verdict::Fail { fault, call: 1 },
            expected: Expected::Pass,
            seconds: 3.0,
            ran: String::new(),
        };
        let judged: Vec<Judged> = faults.into_iter().map(judged).collect();
        let mut lines = Vec::new();
        let run = Line::Run { format: FORMAT, candidate: Identity::default(), environment: Environment::default() };
        write(&mut lines, &run).expect("memory");
        judged.iter().for_each(|j| write(&mut lines, &Line::Judged(j.clone())).expect("memory"));
        assert_eq!(read(lines.as_slice()).expect("as written")[0].judged, judged);
        let torn = &lines[..lines.len() - 9];
        assert_eq!(read(torn).expect("the run was stopped")[0].judged, judged[..2]);
        assert!(read([torn, b"\n", lines.as_slice()].concat().as_slice()).is_err(), "torn in the middle");
    }
}
