//! Candidates in this process: our kernels on one device, and the oracle's own code at `f32`.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use optimized::{Backend, Call, Engine};
use reference::oracle;
use reference::problem::Problem;
use reference::tensor::{Arrays, DType, Tensor, Tensors};
use reports::record::Identity;

use super::{Abilities, BenchRequest, Candidate, Fill, Mode, Reply, Request, Timing};
use crate::abi::{clock, dtype};
use crate::bench::{Drawn, median};

/// Our kernels on one device.
pub struct Kernels {
    engine: Engine,
    identity: Identity,
    ops: Vec<String>,
    drawn: Drawn,
}

impl Kernels {
    /// Opens the device of `backend`; the candidate is called `name`.
    ///
    /// # Errors
    /// No device, no driver, no run-time compiler.
    pub fn open(name: &str, backend: Backend) -> Result<Self, optimized::Error> {
        Ok(Self::on(Engine::open(backend)?, name))
    }

    /// The host with kernels from shared libraries in place of their namesakes.
    ///
    /// # Errors
    /// A library that cannot be loaded.
    pub fn planted(name: &str, libraries: &[PathBuf]) -> Result<Self, optimized::Error> {
        let mut kernels = Self::on(Engine::planted(libraries)?, name);
        kernels.identity.kernels.clear();
        Ok(kernels)
    }

    fn on(engine: Engine, name: &str) -> Self {
        let device = engine.device();
        let hash = |&op: &&str| Some((op.to_owned(), optimized::kernel_hash(op)?));
        let kernels = engine.ops().iter().filter_map(hash).collect();
        let identity = Identity {
            name: name.to_owned(),
            version: format!("{} ({})", env!("CARGO_PKG_VERSION"), device.runtime),
            device: device.name.clone(),
            kernels,
        };
        let ops = engine.ops().iter().map(|&op| op.to_owned()).collect();
        Self { engine, identity, ops, drawn: Drawn::default() }
    }
}

impl Candidate for Kernels {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn ops(&self) -> &[String] {
        &self.ops
    }

    fn abilities(&self) -> Abilities {
        let graph = self.engine.can_replay();
        Abilities { fill: true, bench: true, bench_packed: true, graph, ..Abilities::default() }
    }

    fn call(&mut self, request: &Request) -> Reply {
        if let Err(reply) = typed(request) {
            return reply;
        }
        let answer = guarded(|| match request.mode {
            Mode::Graph => self.engine.replay(&launch(request)),
            _ => self.engine.run(&launch(request)),
        });
        match answer {
            Ok(Ok(answer)) => Reply::Done { tensors: answer.tensors, ran: answer.ran.join(", ") },
            Ok(Err(error)) => refusal(&error),
            Err(reply) => reply,
        }
    }

    fn bench(&mut self, request: &BenchRequest) -> Result<Timing, Reply> {
        let question = self.drawn.question(request)?;
        let timing = guarded(|| self.engine.bench(&launch(question), request.iterations))?;
        let timing = timing.map_err(|error| refusal(&error))?;
        Ok(Timing {
            times_ns: timing.times_ns,
            peak_bytes: Some(timing.peak_bytes),
            workspace_bytes: Some(timing.workspace_bytes),
            host_ns: median(&timing.host_ns),
            timed_by: timing.timed_by.to_owned(),
            ran: timing.ran.join(", "),
            sample: timing.sample,
        })
    }
}

/// The oracle's own code as a candidate: exact for `f64` cases; for others the outputs are computed at `f32` and
/// rounded, gradients are the exact ones, rounded.
#[derive(Debug)]
pub struct Reference {
    identity: Identity,
    ops: Vec<String>,
    drawn: Drawn,
}

impl Default for Reference {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let identity = Identity { name: "reference".into(), version, device: "cpu".into(), kernels: BTreeMap::new() };
        let ops = reference::specs().map(|s| s.name.to_owned()).collect();
        Self { identity, ops, drawn: Drawn::default() }
    }
}

impl Candidate for Reference {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn ops(&self) -> &[String] {
        &self.ops
    }

    fn abilities(&self) -> Abilities {
        Abilities { bench: true, bench_packed: true, ..Abilities::default() }
    }

    fn call(&mut self, request: &Request) -> Reply {
        answer(request)
    }

    fn bench(&mut self, request: &BenchRequest) -> Result<Timing, Reply> {
        let question = self.drawn.question(request)?;
        clock(request.iterations, || answer(question))
    }
}

fn answer(request: &Request) -> Reply {
    match guarded(|| compute(request)) {
        Ok(Ok((tensors, ran))) => Reply::Done { tensors, ran: ran.to_owned() },
        Ok(Err(error)) => Reply::Failed(error.to_string()),
        Err(reply) => reply,
    }
}

fn compute(request: &Request) -> Result<(Tensors, &'static str), reference::error::Error> {
    let inputs = widen(&request.inputs);
    let gradients: Vec<_> = request.want.iter().filter(|w| request.problem.spec.output(w).is_none()).collect();
    let exact = request.dtype == DType::F64;
    let mut answers = Arrays::new();
    if gradients.len() < request.want.len() {
        let forward = if exact { oracle::forward } else { oracle::forward_f32 };
        answers.extend(forward(&request.problem, &inputs)?);
    }
    if !gradients.is_empty() {
        let inputs_of: Vec<_> = gradients.iter().filter_map(|g| g.strip_prefix("d_")).collect();
        let answer = oracle::gradients(&request.problem, &inputs, &widen(&request.cotangents), &inputs_of)?;
        answers.extend(answer.gradients);
    }
    let rounded = |name: &String| Some((name.clone(), Tensor::from_array(answers.get(name)?, dtype(request, name))));
    let ran = match (exact, gradients.is_empty()) {
        (true, _) => "oracle in f64",
        (false, true) => "oracle in f32",
        (false, false) => "oracle: outputs in f32, gradients by the f64 tape",
    };
    Ok((request.want.iter().filter_map(rounded).collect(), ran))
}

fn widen(tensors: &Tensors) -> Arrays {
    tensors.iter().map(|(name, t)| (name.clone(), t.to_array())).collect()
}

fn launch(request: &Request) -> Call<'_> {
    Call {
        problem: &request.problem,
        dtype: request.dtype,
        inputs: &request.inputs,
        cotangents: &request.cotangents,
        want: &request.want,
        fill: match request.fill {
            Fill::Any => optimized::Fill::Any,
            Fill::NaN => optimized::Fill::NaN,
            Fill::Huge => optimized::Fill::Huge,
        },
    }
}

/// Kernels read bytes, so every tensor must have the element type that the spec says.
fn typed(request: &Request) -> Result<(), Reply> {
    let spec = request.problem.spec;
    for (name, tensor) in request.inputs.iter().chain(&request.cotangents) {
        let port = spec.input(name).or_else(|| spec.output(name.strip_prefix("d_")?));
        let expected = port.map_or(request.dtype, |port| Problem::dtype(port, request.dtype));
        if tensor.dtype() != expected {
            return Err(Reply::Failed(format!("{name} has element type {}, expected {expected}", tensor.dtype())));
        }
    }
    Ok(())
}

fn refusal(error: &optimized::Error) -> Reply {
    use optimized::Error;
    match error {
        Error::Declined(reason) => Reply::Declined(reason.clone()),
        Error::Trespass(_) => Reply::Trespassed(error.to_string()),
        Error::OutOfMemory => Reply::OutOfMemory(error.to_string()),
        // the context may be beyond use: whoever serves this starts again
        Error::Driver { .. } => Reply::Crashed(error.to_string()),
        _ => Reply::Failed(error.to_string()),
    }
}

/// A panic becomes a reply.
fn guarded<R>(f: impl FnOnce() -> R) -> Result<R, Reply> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| Reply::Crashed(format!("panicked: {}", message(&*payload))))
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
