//! The thing under test: in this process ([`local`]) or behind the wire ([`remote`]).
//!
//! A candidate never sees the truth, a limit or a check: it gets named tensors and gives named tensors.

#[cfg(test)]
pub(crate) mod around;
pub mod local;
pub mod open;
pub mod remote;

use std::time::Duration;

use reference::problem::Problem;
use reference::tensor::{DType, Tensors};
use reports::record::Identity;

/// What outputs and workspace hold before a kernel runs. Elements that a kernel forgets to write, or reads before
/// writing, change with the fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// Whatever the allocator gives.
    #[default]
    Any,
    /// NaN.
    NaN,
    /// A huge finite value.
    Huge,
}

/// In which mode a call is asked, a layer or model mostly. The numbers are the same in each, what computes them need
/// not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As it is asked when nothing is said: as in training, where there is one.
    #[default]
    Any,
    /// As for inference.
    Evaluation,
    /// In training, activations thrown away and computed once more on the way back.
    Recompute,
    /// From a captured graph: the first call of a problem in this mode is captured and then launched, the next of the
    /// same problem overwrites the inputs where that graph reads them and launches it again.
    Graph,
}

impl Mode {
    /// The modes that are not everyone's, as the wire names them.
    pub const NAMED: [(&str, Self); 3] =
        [("evaluation", Self::Evaluation), ("recompute", Self::Recompute), ("graph", Self::Graph)];

    /// The mode of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(own, _)| *own == name).map(|&(_, mode)| mode)
    }

    /// Its name; none where nothing is said.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED.iter().find(|(_, mode)| *mode == self).map(|&(name, _)| name)
    }
}

/// One call, complete: what travels to a candidate.
#[derive(Debug, Clone)]
pub struct Request {
    /// Op, extents, attributes, packing.
    pub problem: Problem,
    /// Storage type of the case.
    pub dtype: DType,
    /// Inputs by port name.
    pub inputs: Tensors,
    /// Cotangents by `d_<output>`; empty when no gradient is wanted. A missing one is zero.
    pub cotangents: Tensors,
    /// Outputs (`o`) and gradients (`d_q`) that are wanted.
    pub want: Vec<String>,
    /// Poison for fresh memory; only candidates with [`Abilities::fill`] are asked for other than [`Fill::Any`].
    pub fill: Fill,
    /// Only candidates with [`Abilities::evaluation`], [`Abilities::recompute`] or [`Abilities::graph`] are asked for
    /// other than [`Mode::Any`].
    pub mode: Mode,
}

/// What a candidate answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Exactly the wanted tensors, in any float type.
    Done {
        /// By the wanted names.
        tensors: Tensors,
        /// Kernels or back end that really ran.
        ran: String,
    },
    /// Not offered.
    Declined(String),
    /// An error that the candidate reported.
    Failed(String),
    /// Memory outside the outputs was written, or an input was.
    Trespassed(String),
    /// Out of memory.
    OutOfMemory(String),
    /// An answer that is no message, or a message with wrong fields.
    Malformed(String),
    /// It died; exit status or signal and the end of its log.
    Crashed(String),
    /// No answer in time.
    Hung(Duration),
}

/// What to time.
#[derive(Debug, Clone)]
pub struct BenchRequest {
    /// Op, extents, attributes, packing.
    pub problem: Problem,
    /// Storage type.
    pub dtype: DType,
    /// Outputs and gradients; gradients make it forward + backward.
    pub want: Vec<String>,
    /// Timed iterations, after warm-up.
    pub iterations: usize,
    /// Data profile, by name.
    pub profile: String,
    /// Seed of the inputs.
    pub seed: u64,
}

/// What was timed.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    /// Device nanoseconds of each iteration.
    pub times_ns: Vec<f64>,
    /// Most device memory in use beyond the inputs.
    pub peak_bytes: Option<u64>,
    /// Memory beyond inputs and outputs.
    pub workspace_bytes: Option<u64>,
    /// Host nanoseconds that it takes to queue one call, after the first: a median.
    pub host_ns: Option<f64>,
    /// How the times were taken.
    pub timed_by: String,
    /// Kernels or back end that really ran.
    pub ran: String,
    /// A small sample of the outputs of a timed iteration, to be re-checked.
    pub sample: Tensors,
}

/// What a candidate offers beyond answering calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// Fresh memory can be poisoned, and guard bands are checked.
    pub fill: bool,
    /// `bench` works.
    pub bench: bool,
    /// `bench` takes packed sequences.
    pub bench_packed: bool,
    /// Layers and models can be asked in [`Mode::Evaluation`].
    pub evaluation: bool,
    /// Models can be asked in [`Mode::Recompute`].
    pub recompute: bool,
    /// Calls can be asked in [`Mode::Graph`].
    pub graph: bool,
    /// [`Candidate::restart`] leaves nothing of what was.
    pub restart: bool,
}

/// The thing under test.
pub trait Candidate: Send {
    /// Who it is.
    fn identity(&self) -> &Identity;

    /// The specs it implements.
    fn ops(&self) -> &[String];

    /// What else it can do.
    fn abilities(&self) -> Abilities;

    /// Answers one call. Never panics and never blocks for longer than its time limit: whatever the candidate does
    /// becomes a [`Reply`], and the next call works again.
    fn call(&mut self, request: &Request) -> Reply;

    /// Ends what runs, so that the next call is the first of a new process; only candidates with [`Abilities::restart`]
    /// are asked to.
    fn restart(&mut self) {}

    /// Times one problem.
    ///
    /// # Errors
    /// The reply that came instead of a timing.
    fn bench(&mut self, request: &BenchRequest) -> Result<Timing, Reply>;
}
