//! The other end of the wire: a candidate of ours on stdin and stdout.

use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::abi::{CAbi, system};
use crate::candidate::local::Kernels;
use crate::candidate::open::{OpenError, in_process};
use crate::candidate::{Candidate, Reply, Timing};
use crate::cli::ServeArgs;
use crate::wire::{self, Hello, Incoming, MAX_DATA, Message};

/// A candidate that cannot be served any longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The candidate cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The shared object is no candidate.
    #[error(transparent)]
    Abi(#[from] crate::abi::Error),
    /// Neither or both of `--candidate` and `--abi`.
    #[error("serve needs one of --candidate NAME and --abi PATH.so")]
    Choice,
    /// Kernels for something that loads none.
    #[error("--kernels is for --candidate cpu, not for {name}")]
    Kernels {
        /// The candidate.
        name: String,
    },
    /// stdin is no stream of messages.
    #[error("stdin: {0}")]
    Input(wire::Error),
    /// stdout cannot be written.
    #[error("stdout cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// 2 bad usage or input, 3 the environment lacks what was asked for.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(e) => e.exit_code(),
            Self::Abi(_) | Self::Choice | Self::Kernels { .. } | Self::Input(_) => 2,
            Self::Output(_) => 3,
        }
    }
}

/// `fla-conformance serve`.
///
/// # Errors
/// See [`enum@Error`].
pub fn command(args: &ServeArgs) -> Result<ExitCode, Error> {
    // first, so that nothing that is loaded later can print into the stream
    let output = system::reserve_stdout()?;
    let mut candidate: Box<dyn Candidate> = match (&args.candidate, &args.abi) {
        (Some(name), None) if !args.kernels.is_empty() => Box::new(planted(name, &args.kernels)?),
        (Some(name), None) => in_process(name)?,
        (None, Some(path)) => Box::new(CAbi::open(path)?),
        _ => return Err(Error::Choice),
    };
    serve(candidate.as_mut(), BufReader::new(std::io::stdin().lock()), output)
}

/// The host's kernels with others in their place.
fn planted(name: &str, libraries: &[PathBuf]) -> Result<Kernels, Error> {
    if name != "cpu" {
        return Err(Error::Kernels { name: name.to_owned() });
    }
    let unavailable = |error: optimized::Error| OpenError::Unavailable { name: name.into(), reason: error.to_string() };
    Ok(Kernels::planted(name, libraries).map_err(unavailable)?)
}

/// Answers messages from `input` on `output` until the end of the stream or a `bye`.
///
/// # Errors
/// A stream that is broken or out of step.
pub fn serve(candidate: &mut dyn Candidate, mut input: impl Read, mut output: impl Write) -> Result<ExitCode, Error> {
    wire::write(&mut output, &Message::Hello(hello(candidate)), None)?;
    loop {
        let (message, id) = match wire::read(&mut input, || MAX_DATA) {
            Ok(None) => return Ok(ExitCode::SUCCESS),
            Ok(Some(Incoming { message, id })) => (message, id),
            Err(error) => {
                wire::write(&mut output, &Message::Refused(Reply::Failed(error.to_string())), None)?;
                if error.is_contained() {
                    continue;
                }
                return Err(Error::Input(error));
            }
        };
        let answer = match message {
            Message::Bye => return Ok(ExitCode::SUCCESS),
            Message::Call(request) => match declines(candidate, request.problem.spec.name) {
                Some(reply) => Message::Refused(reply),
                None => done(candidate.call(&request)),
            },
            Message::Bench(request) => match declines(candidate, request.problem.spec.name) {
                Some(reply) => Message::Refused(reply),
                None => candidate.bench(&request).map_or_else(Message::Refused, |t| Message::Done(Box::new(t))),
            },
            other => Message::Refused(Reply::Failed(format!("{} is not for a candidate", other.verb()))),
        };
        wire::write(&mut output, &answer, id)?;
        if matches!(answer, Message::Refused(Reply::Crashed(_))) {
            // a device may be beyond use after this: the harness starts a fresh process
            return Ok(ExitCode::FAILURE);
        }
    }
}

fn hello(candidate: &dyn Candidate) -> Hello {
    let identity = candidate.identity().clone();
    let abilities = candidate.abilities();
    let features = [
        ("fill", abilities.fill),
        ("bench", abilities.bench),
        ("bench_packed", abilities.bench_packed),
        ("evaluation", abilities.evaluation),
        ("recompute", abilities.recompute),
        ("graph", abilities.graph),
    ];
    Hello {
        name: identity.name,
        version: identity.version,
        device: identity.device,
        ops: candidate.ops().to_vec(),
        features: features.into_iter().filter(|f| f.1).map(|f| f.0.to_owned()).collect(),
        kernels: identity.kernels,
    }
}

fn declines(candidate: &dyn Candidate, op: &str) -> Option<Reply> {
    let known = candidate.ops();
    let reason = || Reply::Declined(format!("{op} is not one of {}", known.join(", ")));
    (!known.iter().any(|o| o == op)).then(reason)
}

fn done(reply: Reply) -> Message {
    match reply {
        Reply::Done { tensors, ran } => Message::Done(Box::new(Timing { ran, sample: tensors, ..Timing::default() })),
        refused => Message::Refused(refused),
    }
}
