//! Candidates by name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use optimized::Backend;

use super::Candidate;
use super::local::{Kernels, Reference};
use super::remote::{Remote, StartError};
use crate::nearest::nearest;

/// The names that need no command.
pub const BUILT_IN: [&str; 4] = ["cpu", "reference", "cuda", "hip"];

/// How to open a candidate.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Longest wait for any one answer.
    pub timeout: Duration,
    /// The program that serves `cuda`, `hip` and shared objects; this very executable when not given.
    pub program: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(120), program: None }
    }
}

/// A candidate that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such candidate.
    #[error(
        "no candidate {name:?}: it is no executable, and the nearest built-in one is {nearest:?} \
         (of {all}); a command line or the path of a shared object will do too",
        all = BUILT_IN.join(", ")
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest built-in name.
        nearest: &'static str,
    },
    /// A shared object that is not there.
    #[error("no file {path}: build the shared object first (see conformance/abi/candidate.h)")]
    File {
        /// Its path.
        path: String,
    },
    /// A command line whose quotes do not match.
    #[error("the command line {line:?} ends within quotes")]
    Quotes {
        /// The command line.
        line: String,
    },
    /// This machine lacks what the candidate needs.
    #[error("candidate {name} is not available here: {reason}")]
    Unavailable {
        /// The candidate.
        name: String,
        /// What is missing and what to do.
        reason: String,
    },
    /// The command does not become a candidate.
    #[error("the candidate does not start: {0}")]
    Start(#[from] StartError),
    /// This program cannot find itself to serve the candidate.
    #[error("cannot find this program's own file to serve the candidate: {0}")]
    Program(std::io::Error),
}

impl OpenError {
    /// 2 bad usage, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Unknown { .. } | Self::File { .. } | Self::Quotes { .. } => 2,
            Self::Unavailable { .. } | Self::Start(_) | Self::Program(_) => 3,
        }
    }
}

/// Opens `cpu`, `reference`, `cuda`, `hip`, a shared object by its path, or a command line that speaks the wire.
///
/// # Errors
/// See [`OpenError`].
pub fn open(name: &str, options: &OpenOptions) -> Result<Box<dyn Candidate>, OpenError> {
    match name.trim() {
        "cpu" | "reference" => in_process(name.trim()),
        served @ ("cuda" | "hip") => serve(served, &["--candidate", served], options),
        path if is_library(path) => {
            if !Path::new(path).is_file() {
                return Err(OpenError::File { path: path.to_owned() });
            }
            serve(path, &["--abi", path], options)
        }
        line => command(line, options),
    }
}

/// Opens one of [`BUILT_IN`] in this process.
///
/// # Errors
/// An unknown name; no device, driver or run-time compiler.
pub fn in_process(name: &str) -> Result<Box<dyn Candidate>, OpenError> {
    let backend = match name {
        "reference" => return Ok(Box::<Reference>::default()),
        "cpu" => Backend::Host,
        "cuda" => Backend::Cuda,
        "hip" => Backend::Hip,
        _ => return Err(OpenError::Unknown { name: name.to_owned(), nearest: nearest(name, BUILT_IN) }),
    };
    match Kernels::open(name, backend) {
        Ok(kernels) => Ok(Box::new(kernels)),
        Err(error) => Err(OpenError::Unavailable { name: name.to_owned(), reason: error.to_string() }),
    }
}

/// Our host kernels in a child of this program, with those of shared libraries in place of their namesakes.
///
/// # Errors
/// A child that does not start.
pub fn planted(libraries: &[PathBuf], options: &OpenOptions) -> Result<Box<dyn Candidate>, OpenError> {
    let mut args = vec!["--candidate".to_owned(), "cpu".to_owned()];
    for library in libraries {
        args.extend(["--kernels".to_owned(), library.to_string_lossy().into_owned()]);
    }
    serve("cpu", &args.iter().map(String::as_str).collect::<Vec<_>>(), options)
}

/// A child of this very program.
fn serve(name: &str, args: &[&str], options: &OpenOptions) -> Result<Box<dyn Candidate>, OpenError> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(OpenError::Program)?,
    };
    let mut line = vec![program.to_string_lossy().into_owned(), "serve".to_owned()];
    line.extend(args.iter().map(|&a| a.to_owned()));
    match Remote::start(line, options.timeout) {
        Ok(remote) => Ok(Box::new(remote)),
        Err(StartError::Exit { code: Some(2 | 3), log, .. }) => {
            // the served program has said in its last line what is missing
            let line = log.lines().last().unwrap_or_default().trim_start_matches([':', ' ']);
            let reason = line.rsplit("not available here: ").next().unwrap_or(line);
            let reason = reason.trim_start_matches("fla-conformance: ").trim_start_matches("error: ");
            Err(OpenError::Unavailable { name: name.to_owned(), reason: reason.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

fn command(line: &str, options: &OpenOptions) -> Result<Box<dyn Candidate>, OpenError> {
    let unknown = || OpenError::Unknown { name: line.to_owned(), nearest: nearest(line, BUILT_IN) };
    let words = words(line).ok_or_else(|| OpenError::Quotes { line: line.to_owned() })?;
    let bare = words.len() <= 1;
    if words.is_empty() {
        return Err(unknown());
    }
    match Remote::start(words, options.timeout) {
        Ok(remote) => Ok(Box::new(remote)),
        Err(StartError::Spawn { source, .. }) if bare && source.kind() == std::io::ErrorKind::NotFound => {
            Err(unknown())
        }
        Err(error) => Err(error.into()),
    }
}

fn is_library(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|e| e.to_str());
    matches!(extension, Some("so" | "dylib")) && !path.contains(char::is_whitespace)
}

/// The words of a command line by the shell's rules for quotes and backslashes; `None` when a quote is left open.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(chars.next()?),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_shells() {
        let split = |line| words(line).map(|w| w.join("|"));
        assert_eq!(split("python3 -m 'a b'.c  \"x\\\"y\" \\ z").as_deref(), Some("python3|-m|a b.c|x\"y| z"));
        assert_eq!(words("''"), Some(vec![String::new()]));
        assert_eq!(split("'a\\b'").as_deref(), Some("a\\b"));
        assert!(words("sh -c 'exit").is_none() && words("a\\").is_none());
    }
}
