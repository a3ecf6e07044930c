//! The C ABI: a shared object as a candidate. `abi/candidate.h` is the contract.
//!
//! Loaded only in a serving child process. Outputs are allocated here, filled with NaN and fenced; inputs are compared
//! with what was sent, bit by bit, after each call.

#[expect(unsafe_code, reason = "calls into a C library")]
mod library;
#[expect(unsafe_code, reason = "declares two functions of the C library")]
pub(crate) mod system;

use std::path::Path;
use std::time::Instant;

use reference::problem::Problem;
use reference::tensor::{DType, Tensor, Tensors};
use reports::record::Identity;

use crate::bench::Drawn;
use crate::candidate::remote::shape;
use crate::candidate::{Abilities, BenchRequest, Candidate, Fill, Reply, Request, Timing};
use library::{Argument, Library, Outcome};

/// A library that is no candidate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be loaded.
    #[error("{path} cannot be loaded: {}", reason(source))]
    Load {
        /// The file.
        path: String,
        /// What the loader says.
        source: libloading::Error,
    },
    /// It lacks one of the three functions.
    #[error("{path} is no candidate: it has no function {name}")]
    Function {
        /// The file.
        path: String,
        /// The function.
        name: &'static str,
        /// What the loader says.
        source: libloading::Error,
    },
    /// It does not want to run here.
    #[error("{path} does not start: fla_candidate_hello returned {code}: {message}")]
    Hello {
        /// The file.
        path: String,
        /// What it returned.
        code: i32,
        /// Its last error.
        message: String,
    },
    /// It was built against another header.
    #[error("{path} has ABI version {got}, expected {expected}")]
    Version {
        /// The file.
        path: String,
        /// Its version.
        got: i32,
        /// This version.
        expected: i32,
    },
}

/// The loader's own words are one level down.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// A loaded candidate.
#[derive(Debug)]
pub struct CAbi {
    library: Library,
    identity: Identity,
    ops: Vec<String>,
    drawn: Drawn,
}

impl CAbi {
    /// Loads the shared object at `path` and says hello to it.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let library = Library::open(path)?;
        let hello = library.hello(path)?;
        let identity =
            Identity { name: hello.name, version: hello.version, device: hello.device, ..Identity::default() };
        let ops = hello.ops.split(',').map(|op| op.trim().to_owned()).filter(|op| !op.is_empty()).collect();
        Ok(Self { library, identity, ops, drawn: Drawn::default() })
    }
}

impl Candidate for CAbi {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn ops(&self) -> &[String] {
        &self.ops
    }

    fn abilities(&self) -> Abilities {
        Abilities { fill: true, bench: true, bench_packed: true, ..Abilities::default() }
    }

    fn call(&mut self, request: &Request) -> Reply {
        ask(&self.library, &self.identity.name, request)
    }

    /// Wall-clock time of the library's function, argument checks included.
    fn bench(&mut self, request: &BenchRequest) -> Result<Timing, Reply> {
        let question = self.drawn.question(request)?;
        clock(request.iterations, || ask(&self.library, &self.identity.name, question))
    }
}

fn ask(library: &Library, name: &str, request: &Request) -> Reply {
    let mut inputs = given(request);
    let mut cotangents = fenced(&request.cotangents);
    let mut outputs = wanted(request);
    let attrs = crate::wire::attrs_json(&request.problem.attrs);
    let outcome = library.call(request.problem.spec.name, &attrs, &mut inputs, &mut cotangents, &mut outputs);
    match outcome {
        Outcome::Ok => {}
        Outcome::Declined(reason) => return Reply::Declined(reason),
        Outcome::OutOfMemory(message) => return Reply::OutOfMemory(message),
        Outcome::Failed(message) => return Reply::Failed(message),
    }
    let read_only = inputs.iter().chain(&cotangents);
    if let Some(fault) = read_only.chain(&outputs).find_map(Argument::fault) {
        return Reply::Trespassed(fault);
    }
    let tensors = outputs.into_iter().map(Argument::into_tensor).collect();
    Reply::Done { tensors, ran: name.to_owned() }
}

/// Times `call` after one warm-up.
pub(crate) fn clock(iterations: usize, mut call: impl FnMut() -> Reply) -> Result<Timing, Reply> {
    let mut timing = Timing { timed_by: "wall clock around each call".to_owned(), ..Timing::default() };
    for i in 0..=iterations {
        let start = Instant::now();
        let reply = call();
        let elapsed = start.elapsed().as_nanos() as f64;
        let Reply::Done { tensors, ran } = reply else { return Err(reply) };
        if i > 0 {
            timing.times_ns.push(elapsed);
        }
        (timing.sample, timing.ran) = (tensors, ran);
    }
    Ok(timing)
}

fn given(request: &Request) -> Vec<Argument> {
    let mut inputs = fenced(&request.inputs);
    if let Some(offsets) = request.problem.cu_seqlens() {
        inputs.push(Argument::input("cu_seqlens", &Tensor::from_i64(&offsets)));
    }
    inputs
}

fn fenced(tensors: &Tensors) -> Vec<Argument> {
    tensors.iter().map(|(name, tensor)| Argument::input(name, tensor)).collect()
}

fn wanted(request: &Request) -> Vec<Argument> {
    let output = |name: &String| {
        let dtype = dtype(request, name);
        let fill = match request.fill {
            Fill::Any | Fill::NaN => f64::NAN,
            Fill::Huge => dtype.max(),
        };
        let shape = shape(&request.problem, name).unwrap_or_default();
        Argument::output(name, &Tensor::filled(dtype, &shape, fill))
    };
    request.want.iter().map(output).collect()
}

/// The element type of an output, or of a gradient: that of its input.
pub(crate) fn dtype(request: &Request, name: &str) -> DType {
    let spec = request.problem.spec;
    let input = name.strip_prefix("d_").and_then(|input| request.inputs.get(input));
    let output = || spec.output(name).map_or(request.dtype, |port| Problem::dtype(port, request.dtype));
    input.map_or_else(output, Tensor::dtype)
}
