//! From records to pages: HTML for looking, Markdown for a summary, JUnit for CI.

pub mod curves;
mod html;
mod junit;
mod markdown;
mod plot;
mod scaling;
pub mod sheet;
mod speed;

use std::fs;
use std::path::{Path, PathBuf};

use crate::record::Run;

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory or a file in it cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The page's template does not render: a fault of this crate.
    #[error("the page does not render: {0}")]
    Template(#[from] minijinja::Error),
    /// The page's data does not serialise: a fault of this crate.
    #[error("the page's data does not serialise: {0}")]
    Data(#[from] serde_json::Error),
    /// A plot cannot be drawn: a fault of this crate.
    #[error("a plot cannot be drawn: {0}")]
    Plot(String),
}

/// The files of a report.
#[derive(Debug, Clone)]
pub struct Written {
    /// The page to open.
    pub html: PathBuf,
    /// The same in short.
    pub markdown: PathBuf,
    /// For CI systems.
    pub junit: PathBuf,
}

/// Writes `report.html`, `report.md` and `junit.xml` into `out`, which is made if it is not there.
///
/// # Errors
/// A directory or file that cannot be written.
pub fn write_all(runs: &[Run], out: &Path) -> Result<Written, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let put = |name: &str, text: String| {
        let path = out.join(name);
        fs::write(&path, text).map_err(failed(&path))?;
        Ok::<_, Error>(path)
    };
    Ok(Written {
        html: put("report.html", html(runs)?)?,
        markdown: put("report.md", markdown(runs))?,
        junit: put("junit.xml", junit(runs))?,
    })
}

/// The command that shows one judged case again.
fn reproducer(candidate: &str, case: &str, check: &str) -> String {
    let candidate = candidate.replace('\'', r"'\''");
    format!("fla-conformance replay '{case}' --check {check} --candidate '{candidate}'")
}

/// A verdict's reason in one line; empty for a pass.
fn reason(verdict: &crate::verdict::Verdict) -> String {
    use crate::verdict::{Fault, Verdict};
    match verdict {
        Verdict::Pass { .. } => String::new(),
        Verdict::Declined { reason } | Verdict::Mistrusted { reason } | Verdict::NotApplicable { reason } => {
            reason.clone()
        }
        Verdict::Fail { fault, .. } => match fault {
            Fault::Inaccurate { worst, .. } => format!(
                "{} of {} is {:.3} × the floor, bound {:.3}; relative RMS {:.2e}, worst at {:?}",
                worst.statistic, worst.port, worst.error, worst.bound, worst.relative, worst.at
            ),
            Fault::Different { port, at, promise } => format!("{port} differs at {at:?}: {promise}"),
            Fault::NonFinite { port, at, count } => {
                format!("{count} elements of {port} are not finite, the first at {at:?}")
            }
            Fault::Malformed { message } => format!("malformed answer: {message}"),
            Fault::Trespass { message } => format!("trespass: {message}"),
            Fault::Error { message } => format!("error: {message}"),
            Fault::Crash { message } => format!("crash: {message}"),
            Fault::Hang { seconds } => format!("no answer in {seconds} s"),
            Fault::OutOfMemory { message } => format!("out of memory: {message}"),
        },
    }
}

#[cfg(test)]
mod tests;
