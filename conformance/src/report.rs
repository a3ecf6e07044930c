//! From records to what people read.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use reports::record::{self, ReadError, Run};
use reports::verdict::{Fault, Verdict};
use reports::{evidence, render};

use crate::cli::ReportArgs;
use crate::output::print;

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A records file that cannot be used.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// Files without a run.
    #[error("no run in {files}; fla-conformance run writes its records to out/records.jsonl, or where --out says")]
    Empty {
        /// The files.
        files: String,
    },
    /// The pages cannot be written.
    #[error("cannot write the report into {path}: {source}")]
    Render {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: render::Error,
    },
    /// The evidence cannot be written.
    #[error("cannot write {path}: {source}")]
    Evidence {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// `fla-conformance report`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &ReportArgs) -> Result<ExitCode, Error> {
    let mut runs = Vec::new();
    for path in &args.records {
        runs.extend(read(path)?);
    }
    if runs.is_empty() {
        let files = args.records.iter().map(|path| path.display().to_string());
        return Err(Error::Empty { files: files.collect::<Vec<_>>().join(", ") });
    }
    print(&format!("report: {}\n", write(&runs, &args.out)?.display()));
    if let Some(path) = &args.evidence {
        let failed = |source| Error::Evidence { path: path.clone(), source };
        let mut file = std::io::BufWriter::new(File::create(path).map_err(failed)?);
        let runs = evidence::condensed(runs);
        evidence::lines(&runs).try_for_each(|line| record::write(&mut file, &line)).map_err(failed)?;
        print(&format!("evidence: {}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The runs of a records file.
///
/// # Errors
/// A file that cannot be read, or that holds something else.
pub fn read(path: &Path) -> Result<Vec<Run>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(|e| failed(ReadError::Io(e)))?;
    record::read(BufReader::new(file)).map_err(failed)
}

/// Writes HTML, Markdown and JUnit; gives the page to open.
///
/// # Errors
/// [`Error::Render`].
pub fn write(runs: &[Run], out: &Path) -> Result<PathBuf, Error> {
    let failed = |source| Error::Render { path: out.to_owned(), source };
    let written = render::write_all(runs, out).map_err(failed)?;
    Ok(written.html)
}

/// A verdict in a sentence.
#[must_use]
pub fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass { .. } => "passed".to_owned(),
        Verdict::Declined { reason } | Verdict::Mistrusted { reason } | Verdict::NotApplicable { reason } => {
            reason.clone()
        }
        Verdict::Fail { fault, call } => format!("{} (call {call})", fault_sentence(fault)),
    }
}

fn fault_sentence(fault: &Fault) -> String {
    match fault {
        Fault::Inaccurate { worst, .. } => format!(
            "{} of {} is {:.3} {}, at most {:.3} is right; worst at {:?}; relative error {:.2e}",
            worst.statistic,
            worst.port,
            worst.error,
            unit(worst.runs),
            worst.bound,
            worst.at,
            worst.relative
        ),
        Fault::Different { port, at, promise } => format!("{port} differs first at {at:?}, but {promise}"),
        Fault::NonFinite { port, at, count } => {
            format!("{count} elements of {port} are not finite, the first at {at:?}; the truth is")
        }
        Fault::Malformed { message } => format!("malformed answer: {message}"),
        Fault::Trespass { message } => format!("trespass: {message}"),
        Fault::Error { message } => format!("error: {message}"),
        Fault::Crash { message } => format!("crash: {message}"),
        Fault::Hang { seconds } => format!("no answer within {seconds} s"),
        Fault::OutOfMemory { message } => format!("out of memory: {message}"),
    }
}

/// What errors are measured in: the floor of so many rounded runs; where there are none, the storage type's roundoff.
pub(crate) fn unit(runs: u64) -> String {
    if runs > 0 { format!("floors of {runs} runs") } else { "roundoffs".to_owned() }
}
