//! A candidate behind the wire: a child process that is started again after whatever it does.

mod peer;

use std::time::{Duration, Instant};

use reference::problem::Problem;
use reference::tensor::{DType, Tensors};
use reports::record::Identity;

use super::{Abilities, BenchRequest, Candidate, Reply, Request, Timing};
use crate::wire::{self, Hello, Incoming, Message};
use peer::{Loss, Peer, describe};

/// Data that a timing's sample may have, bytes.
const SAMPLE: u64 = 256 << 20;

/// Room beyond the exact size of an answer, so that a wrong shape is reported as one.
const SLACK: u64 = 1 << 20;

/// A command that does not become a candidate.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program cannot be executed.
    #[error("cannot start {command:?}: {source}")]
    Spawn {
        /// The command line.
        command: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It ended before it said hello.
    #[error("{command:?} {how} before it said hello{log}")]
    Exit {
        /// The command line.
        command: String,
        /// Exit status or signal, in words.
        how: String,
        /// Exit status, when it exited.
        code: Option<i32>,
        /// The end of its log, introduced by a colon.
        log: String,
    },
    /// It said something else than hello.
    #[error("{command:?} does not speak the wire: {message}{log}")]
    Protocol {
        /// The command line.
        command: String,
        /// What is wrong with its first message.
        message: String,
        /// The end of its log, introduced by a colon.
        log: String,
    },
    /// It said nothing.
    #[error("{command:?} did not say hello within {seconds} s{log}", seconds = timeout.as_secs_f64())]
    Silent {
        /// The command line.
        command: String,
        /// How long it had.
        timeout: Duration,
        /// The end of its log, introduced by a colon.
        log: String,
    },
}

/// The candidate that a command starts.
#[derive(Debug)]
pub struct Remote {
    command: Vec<String>,
    timeout: Duration,
    identity: Identity,
    ops: Vec<String>,
    abilities: Abilities,
    peer: Option<Peer>,
    questions: u64,
    /// The last answer was an error: an exit after it surprises nobody.
    excused: bool,
}

impl Remote {
    /// Starts `command` (program and arguments) and waits for its hello. No answer may take longer than `timeout`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(command: Vec<String>, timeout: Duration) -> Result<Self, StartError> {
        let (peer, hello) = greet(&command, timeout)?;
        let identity =
            Identity { name: hello.name, version: hello.version, device: hello.device, kernels: hello.kernels };
        let has = |feature: &str| hello.features.iter().any(|f| f == feature);
        let abilities = Abilities {
            fill: has("fill"),
            bench: true,
            bench_packed: has("bench_packed"),
            evaluation: has("evaluation"),
            recompute: has("recompute"),
            graph: has("graph"),
            restart: true,
        };
        let (ops, peer) = (hello.ops, Some(peer));
        Ok(Self { command, timeout, identity, ops, abilities, peer, questions: 0, excused: false })
    }

    /// Asks one question; an `Err` is the reply that stands for what went wrong.
    fn ask(&mut self, encode: impl Fn(u64) -> Vec<u8>, limit: u64) -> Result<Message, Reply> {
        // a child that exits after an error may not be gone yet when the next question comes
        let again = self.excused;
        match self.ask_once(&encode, limit) {
            Err(Reply::Crashed(_)) if again => self.ask_once(&encode, limit),
            other => other,
        }
    }

    fn ask_once(&mut self, encode: impl Fn(u64) -> Vec<u8>, limit: u64) -> Result<Message, Reply> {
        let mut peer = self.ready()?;
        self.excused = false;
        self.questions += 1;
        let id = self.questions;
        peer.send(encode(id), limit);
        match peer.receive(Instant::now() + self.timeout) {
            Ok(Incoming { id: Some(other), .. }) if other != id => {
                Err(malformed(peer, &format!("an answer to question {other} came instead of one to question {id}")))
            }
            Ok(incoming) => {
                self.peer = Some(peer);
                self.excused = matches!(incoming.message, Message::Refused(_));
                Ok(incoming.message)
            }
            Err(Loss::Silence) => Err(Reply::Hung(self.timeout)),
            Err(Loss::End) => {
                let status = peer.exit();
                Err(Reply::Crashed(format!("{}{}", describe(status), log(&mut peer))))
            }
            Err(Loss::Broken(error)) => Err(broken(peer, &error)),
        }
    }

    /// A child with nothing left to say, a new one if need be.
    fn ready(&mut self) -> Result<Peer, Reply> {
        if let Some(mut peer) = self.peer.take() {
            match peer.unasked() {
                None => return Ok(peer),
                Some(Ok(incoming)) => {
                    let verb = incoming.message.verb();
                    return Err(malformed(peer, &format!("a second answer ({verb}) followed the last one")));
                }
                Some(Err(Loss::Broken(error))) => return Err(broken(peer, &error)),
                Some(Err(Loss::End | Loss::Silence)) => {
                    let status = peer.exit();
                    if !self.excused && !status.is_some_and(|s| s.success()) {
                        let how = describe(status);
                        return Err(Reply::Crashed(format!("{how} after its last answer{}", log(&mut peer))));
                    }
                }
            }
        }
        greet(&self.command, self.timeout).map(|(peer, _)| peer).map_err(|e| Reply::Crashed(format!("respawn: {e}")))
    }
}

impl Candidate for Remote {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn ops(&self) -> &[String] {
        &self.ops
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn call(&mut self, request: &Request) -> Reply {
        let elements = request.want.iter().filter_map(|w| shape(&request.problem, w));
        let bytes: usize = elements.map(|s| s.iter().product::<usize>() * DType::F64.size()).sum();
        match self.ask(|id| wire::encode_question(request, id), 2 * bytes as u64 + SLACK) {
            Ok(Message::Done(done)) => match accept(request, &done.sample) {
                Ok(()) => Reply::Done { tensors: done.sample, ran: done.ran },
                Err(message) => Reply::Malformed(message),
            },
            Ok(Message::Refused(reply)) | Err(reply) => reply,
            Ok(other) => Reply::Malformed(format!("a call was answered by {}", other.verb())),
        }
    }

    fn restart(&mut self) {
        if let Some(mut peer) = self.peer.take() {
            peer.dismiss();
        }
    }

    fn bench(&mut self, request: &BenchRequest) -> Result<Timing, Reply> {
        if request.problem.sequences.is_some() && !self.abilities.bench_packed {
            return Err(Reply::Declined("its bench takes no packed sequences (feature bench_packed)".into()));
        }
        let question = Message::Bench(Box::new(request.clone()));
        match self.ask(|id| wire::encode(&question, Some(id)), SAMPLE)? {
            Message::Done(timing) if timing.times_ns.is_empty() => {
                Err(Reply::Malformed("a bench was answered without times_ns".into()))
            }
            Message::Done(timing) => Ok(*timing),
            Message::Refused(reply) => Err(reply),
            other => Err(Reply::Malformed(format!("a bench was answered by {}", other.verb()))),
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Some(peer) = &mut self.peer {
            peer.dismiss();
        }
    }
}

fn greet(command: &[String], timeout: Duration) -> Result<(Peer, Hello), StartError> {
    let line = command.join(" ");
    let mut peer = Peer::start(command).map_err(|source| StartError::Spawn { command: line.clone(), source })?;
    let message = match peer.receive(Instant::now() + timeout) {
        Ok(Incoming { message: Message::Hello(hello), .. }) => return Ok((peer, hello)),
        Ok(other) => format!("its first message is {}, expected hello", other.message.verb()),
        Err(Loss::Broken(error)) => error.to_string(),
        Err(Loss::Silence) => return Err(StartError::Silent { command: line, timeout, log: log(&mut peer) }),
        Err(Loss::End) => {
            let status = peer.exit();
            let (how, code) = (describe(status), status.and_then(|s| s.code()));
            return Err(StartError::Exit { command: line, how, code, log: log(&mut peer) });
        }
    };
    Err(StartError::Protocol { command: line, message, log: log(&mut peer) })
}

/// A stream out of step: the child's death explains it when it died.
fn broken(mut peer: Peer, error: &wire::Error) -> Reply {
    if matches!(error, wire::Error::Truncated { .. }) {
        let status = peer.exit();
        if status.is_some_and(|s| !s.success()) {
            return Reply::Crashed(format!("{} while it answered{}", describe(status), log(&mut peer)));
        }
    }
    malformed(peer, &error.to_string())
}

fn malformed(mut peer: Peer, message: &str) -> Reply {
    Reply::Malformed(format!("{message}{}", log(&mut peer)))
}

/// Ends the child; the end of its log, ready to be appended to a sentence.
fn log(peer: &mut Peer) -> String {
    let tail = peer.kill();
    if tail.is_empty() { tail } else { format!(": {tail}") }
}

/// The shape of an output, or of a gradient `d_<input>`.
#[must_use]
pub fn shape(problem: &Problem, name: &str) -> Option<Vec<usize>> {
    let port = problem.spec.output(name).or_else(|| problem.spec.input(name.strip_prefix("d_")?))?;
    Some(problem.shape(port))
}

/// Checks that `tensors` are exactly what was wanted: names, shapes, float element types.
fn accept(request: &Request, tensors: &Tensors) -> Result<(), String> {
    for name in &request.want {
        let Some(tensor) = tensors.get(name) else {
            let got: Vec<_> = tensors.keys().map(String::as_str).collect();
            return Err(format!("{name} is missing: expected {}, got {}", request.want.join(", "), got.join(", ")));
        };
        let expected = shape(&request.problem, name).unwrap_or_default();
        if tensor.shape() != expected {
            return Err(format!("{name} has shape {:?}, expected {expected:?}", tensor.shape()));
        }
        if tensor.dtype() == DType::I64 {
            return Err(format!("{name} has element type i64, expected a float type"));
        }
    }
    match tensors.keys().find(|name| !request.want.contains(name)) {
        Some(extra) => Err(format!("{extra} was not wanted: expected {}", request.want.join(", "))),
        None => Ok(()),
    }
}
