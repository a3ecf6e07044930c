//! `fla-conformance model`: a language model from its files.

pub mod args;
mod evaluate;
mod generate;

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use reference::models::walk::Walk;
use serde_json::{Value, json};

use crate::checkpoint::{self, Checkpoint, save};
use args::{Action, ModelArgs};

pub use evaluate::{Evaluation, evaluate};
pub use generate::generate;

/// Work on a model that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Files that cannot be used or written.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Something that is no token.
    #[error("{place}: {got:?} is not the number of a token, expected one below {below}")]
    Token {
        /// Where it was.
        place: String,
        /// What came.
        got: String,
        /// How many symbols the vocabulary has.
        below: usize,
    },
    /// No tokens, or too few.
    #[error("{place}: expected at least {least} tokens, got {got}")]
    Short {
        /// Where they were.
        place: String,
        /// How many there must be.
        least: usize,
        /// How many there are.
        got: usize,
    },
    /// Tokens that cannot be read.
    #[error("{place}: {source}")]
    Input {
        /// The file, or stdin.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// stdout cannot be written.
    #[error("stdout cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Checkpoint(e) => e.exit_code(),
            Self::Token { .. } | Self::Short { .. } | Self::Input { .. } => 2,
            Self::Output(_) => 3,
        }
    }
}

/// `fla-conformance model`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &ModelArgs) -> Result<ExitCode, Error> {
    match &args.action {
        Action::Inspect { json } => inspect(&args.folder, *json),
        Action::Evaluate(options) => evaluate::command(&args.folder, options),
        Action::Generate(options) => generate::command(&args.folder, options),
        Action::Save { to, shard } => {
            let checkpoint = Checkpoint::open(&args.folder)?;
            save(to, &checkpoint.stack, &checkpoint.tensors()?, *shard)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What a checkpoint is; 1 when tensors are not what they should be.
fn inspect(folder: &Path, machine: bool) -> Result<ExitCode, Error> {
    let (checkpoint, faults) = Checkpoint::inspect(folder)?;
    let (stack, spec) = (&checkpoint.stack, checkpoint.stack.problem.spec);
    let parameters: usize = stack.tensors().iter().map(|t| t.shape.iter().product::<usize>()).sum();
    let sizes = checkpoint.sizes();
    let mut out = io::stdout().lock();
    if machine {
        let files: Vec<_> = checkpoint.paths().iter().map(|p| p.display().to_string()).collect();
        let types: Value =
            sizes.iter().map(|(name, (n, bytes))| (*name, json!({"numbers": n, "bytes": bytes}))).collect();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let whole = json!({
            "model_type": stack.model.model_type(), "spec": spec.name, "blocks": stack.depth, "parameters": parameters,
            "types": types, "files": files, "faults": faults, "config": stack.config(),
        });
        writeln!(out, "{whole}")?;
    } else {
        writeln!(out, "{}: {} blocks, {parameters} parameters", spec.name, stack.depth)?;
        for (name, (numbers, bytes)) in &sizes {
            writeln!(out, "  {numbers} numbers in {name}, {bytes} bytes")?;
        }
        for path in checkpoint.paths() {
            writeln!(out, "  {}", path.display())?;
        }
        writeln!(out, "  {}", stack.problem)?;
        for fault in &faults {
            writeln!(out, "wrong: {fault}")?;
        }
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Tokens of a line, which must be symbols of the vocabulary.
fn tokens(place: &str, line: &str, below: usize) -> Result<Vec<usize>, Error> {
    let words = line.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let token = |word: &str| match word.parse::<usize>() {
        Ok(id) if id < below => Ok(id),
        _ => Err(Error::Token { place: place.to_owned(), got: word.to_owned(), below }),
    };
    words.map(token).collect()
}

/// A file, or stdin for `-`.
fn text(path: &Path) -> Result<(String, String), Error> {
    let mut text = String::new();
    let (place, read) = match path.to_str() {
        Some("-") => ("stdin".to_owned(), io::stdin().lock().read_to_string(&mut text).map(|_| ())),
        _ => (path.display().to_string(), std::fs::read_to_string(path).map(|whole| text = whole)),
    };
    read.map_err(|source| Error::Input { place: place.clone(), source })?;
    Ok((place, text))
}

/// A bar on stderr, where somebody looks at it.
fn progress(walk: &Walk, times: usize, what: &'static str) -> ProgressBar {
    let bar = match io::stderr().is_terminal() {
        true => ProgressBar::new((walk.stages().count() * times) as u64),
        false => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} parts, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}
