//! One device, and calls on it.

mod layout;
mod plan;
mod replay;

use std::path::PathBuf;
use std::time::Instant;

use reference::problem::Problem;
use reference::tensor::{DType, Tensor, Tensors};

use crate::args::{Args, Ptr};
use crate::device::{self, Device};
use crate::error::Error;
use crate::memory::Memory;
use crate::ops::KERNELS;
use crate::shapes::{Kernel, Scalar, Shape, Target, WIDTHS};
use crate::{Backend, DeviceInfo};

pub(crate) use layout::{Layout, Pieces};
pub use plan::{Plan, plan};
use replay::Kept;

/// What outputs and workspaces hold before kernels run. Anything but [`Fill::Any`] also fences every buffer with guard
/// bands and checks them, and the inputs, at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// Whatever the allocator gives.
    #[default]
    Any,
    /// NaN.
    NaN,
    /// The largest finite value.
    Huge,
}

/// One op with its tensors. Element types are the spec's for this storage type.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Op, extents, attributes, packing.
    pub problem: &'a Problem,
    /// Storage type.
    pub dtype: DType,
    /// The inputs that are given, by port.
    pub inputs: &'a Tensors,
    /// Cotangents by `d_<output>`; a missing one is zero.
    pub cotangents: &'a Tensors,
    /// Outputs and gradients (`d_<input>`).
    pub want: &'a [String],
    /// Poison.
    pub fill: Fill,
}

/// What a call gave.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Exactly what was wanted.
    pub tensors: Tensors,
    /// Kernels that ran, in order.
    pub ran: Vec<String>,
    /// Bytes that were neither input nor output.
    pub workspace_bytes: u64,
}

/// What a benchmark gave.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Device nanoseconds of each iteration.
    pub times_ns: Vec<f64>,
    /// Host nanoseconds of queueing each iteration: its launch, or a recording of its launches where there are several
    /// and the device can record.
    pub host_ns: Vec<f64>,
    /// How the times were taken.
    pub timed_by: &'static str,
    /// Bytes of everything but the inputs.
    pub peak_bytes: u64,
    /// Bytes that were neither input nor output.
    pub workspace_bytes: u64,
    /// Kernels that ran, in order.
    pub ran: Vec<String>,
    /// Answers of the last timed iteration: whole when small, else their first values.
    pub sample: Tensors,
}

/// Elements up to which a sample is the whole tensor, and of which it consists beyond.
const SAMPLE: (usize, usize) = (1 << 20, 4096);

/// Shared memory of a block of the largest kernels (`TILE_SHARED_MOST` of Hopper).
const MOST_SHARED: usize = 227 * 1024;

/// Iterations before the clock starts.
const WARM_UP: usize = 3;

/// Times that a recording is queued for its host time.
const QUEUED: usize = 8;

/// One device.
pub struct Engine {
    device: Box<dyn Device>,
    kept: Option<Kept>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Engine {
    /// The first device of a back end.
    ///
    /// # Errors
    /// [`Error::NoDevice`] and [`Error::NoCompiler`], each with a sentence that says what to do.
    pub fn open(backend: Backend) -> Result<Self, Error> {
        Ok(Self { device: device::open(backend)?, kept: None })
    }

    /// The host, with kernels from these shared libraries in place of its own of the same name.
    ///
    /// # Errors
    /// [`Error::NoDevice`], when a library cannot be loaded.
    pub fn planted(libraries: &[PathBuf]) -> Result<Self, Error> {
        Ok(Self { device: device::planted(libraries)?, kept: None })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &DeviceInfo {
        self.device.info()
    }

    /// The ops that have kernels.
    #[must_use]
    pub fn ops(&self) -> Vec<&'static str> {
        KERNELS.iter().map(|row| row.op).collect()
    }

    /// Answers one call.
    ///
    /// # Errors
    /// What the kernels do not offer, and whatever the device reports.
    pub fn run(&mut self, call: &Call<'_>) -> Result<Answer, Error> {
        let mut job = Job::new(&mut *self.device, call)?;
        job.execute()?;
        let tensors = answers(&mut *job.memory.device, &job.outputs, usize::MAX)?;
        job.memory.check()?;
        Ok(Answer { tensors, ran: job.ran(), workspace_bytes: job.memory.workspace })
    }

    /// Times one call: device time of each iteration, behind an emptied cache.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn bench(&mut self, call: &Call<'_>, iterations: usize) -> Result<Timing, Error> {
        let mut job = Job::new(&mut *self.device, call)?;
        let (mut times_ns, mut host_ns) = (Vec::with_capacity(iterations), Vec::with_capacity(iterations));
        for i in 0..WARM_UP + iterations {
            job.memory.device.flush()?;
            job.memory.device.start()?;
            let begun = Instant::now();
            job.execute()?;
            let queued = begun.elapsed().as_nanos() as f64;
            let time = job.memory.device.stop()?;
            if i >= WARM_UP {
                times_ns.push(time);
                host_ns.push(queued);
            }
        }
        if job.launches.len() > 1 && job.memory.device.recorder().is_some_and(|r| r.queues()) {
            host_ns = job.queueing(iterations.min(QUEUED))?;
        }
        let (workspace_bytes, peak_bytes) = (job.memory.workspace, job.memory.peak);
        let (ran, timed_by) = (job.ran(), job.memory.device.clock());
        let sample = answers(&mut *job.memory.device, &job.outputs, SAMPLE.0)?;
        Ok(Timing { times_ns, host_ns, timed_by, peak_bytes, workspace_bytes, ran, sample })
    }
}

struct Launch {
    kernel: Kernel,
    blocks: usize,
    args: Args,
}

struct Output {
    name: String,
    ptr: Ptr,
    dtype: DType,
    shape: Vec<usize>,
}

/// A call being laid out: its buffers on the device and its launches, in order.
pub(crate) struct Job<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) scalar: Scalar,
    pub(crate) target: Target,
    /// Whether a block may have all the shared memory that the largest kernels take.
    pub(crate) roomy: bool,
    dtype: DType,
    call: &'a Call<'a>,
    memory: Memory<'a>,
    given: Vec<(String, Ptr)>,
    outputs: Vec<Output>,
    launches: Vec<Launch>,
}

impl<'a> Job<'a> {
    fn new(device: &'a mut dyn Device, call: &'a Call<'a>) -> Result<Self, Error> {
        let op = call.problem.spec.name;
        let Some(row) = KERNELS.iter().find(|row| row.op == op) else {
            return Err(Error::Declined(format!("there is no kernel for {op}")));
        };
        let scalar = match call.dtype {
            DType::Bf16 => Scalar::Bf16,
            DType::F16 => Scalar::F16,
            DType::F32 => Scalar::F32,
            other => return Err(Error::Declined(format!("kernels take bf16, f16 and f32, not {other}"))),
        };
        let (problem, target, dtype) = (call.problem, device.target(), call.dtype);
        let roomy = device.info().shared >= MOST_SHARED;
        let memory = Memory::new(device, call.fill);
        let (given, outputs, launches) = (Vec::new(), Vec::new(), Vec::new());
        let mut job = Self { problem, scalar, target, roomy, dtype, call, memory, given, outputs, launches };
        for name in call.want {
            job.allocate(name)?;
        }
        (row.lay_out)(&mut job)?;
        let foreign = job.launches.iter().map(|l| l.kernel.source).find(|source| !row.sources.contains(source));
        assert_eq!(foreign, None, "the row of {op} names every source that it launches, for its hash");
        let kernels: Vec<Kernel> = job.launches.iter().map(|l| l.kernel).collect();
        job.memory.device.prepare(&kernels)?;
        Ok(job)
    }

    fn allocate(&mut self, name: &str) -> Result<(), Error> {
        let spec = self.problem.spec;
        let port = spec.output(name).or_else(|| spec.input(name.strip_prefix("d_")?).filter(|p| p.differentiable));
        let port = port.ok_or_else(|| Error::Declined(format!("{} has no output or gradient {name}", spec.name)))?;
        let (dtype, shape) = (Problem::dtype(port, self.dtype), self.problem.shape(port));
        let ptr = self.memory.output(name, dtype, shape.iter().product())?;
        self.outputs.push(Output { name: name.to_owned(), ptr, dtype, shape });
        Ok(())
    }

    /// An input or cotangent on the device; null when it is not given.
    pub(crate) fn input(&mut self, name: &str) -> Result<Ptr, Error> {
        if let Some((_, ptr)) = self.given.iter().find(|(n, _)| n == name) {
            return Ok(*ptr);
        }
        let tensor = self.call.inputs.get(name).or_else(|| self.call.cotangents.get(name));
        let ptr = tensor.map_or(Ok(Ptr::NULL), |t| self.memory.input(name, t))?;
        self.given.push((name.to_owned(), ptr));
        Ok(ptr)
    }

    /// Whether an output or gradient is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.outputs.iter().any(|o| o.name == name)
    }

    pub(crate) fn wants_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.wants(name))
    }

    /// Whether no sequence has more than one token and no gradient is wanted: a step of generation.
    pub(crate) fn is_step(&self) -> bool {
        self.problem.longest() <= 1 && !self.wants_gradients()
    }

    pub(crate) fn wants_gradients(&self) -> bool {
        self.outputs.iter().any(|o| o.name.starts_with("d_"))
    }

    /// Where an output or gradient goes; null when it is not wanted.
    pub(crate) fn output(&self, name: &str) -> Ptr {
        self.outputs.iter().find(|o| o.name == name).map_or(Ptr::NULL, |o| o.ptr)
    }

    /// Where something goes that kernels always write, wanted or not.
    pub(crate) fn output_or_workspace(&mut self, name: &str, dtype: DType, elements: usize) -> Result<Ptr, Error> {
        if self.wants(name) { Ok(self.output(name)) } else { self.workspace(name, dtype, elements) }
    }

    pub(crate) fn workspace(&mut self, name: &str, dtype: DType, elements: usize) -> Result<Ptr, Error> {
        self.memory.workspace(name, dtype, elements)
    }

    /// Constants that a launch needs.
    pub(crate) fn table(&mut self, name: &str, values: &[f32]) -> Result<Ptr, Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.memory.table(name, &bytes)
    }

    /// The case's storage type.
    pub(crate) fn storage(&self) -> DType {
        self.dtype
    }

    /// The padded key width for `K`.
    pub(crate) fn width(&self, k: usize) -> Result<usize, Error> {
        let [.., most] = WIDTHS;
        WIDTHS.into_iter().find(|&w| k <= w).ok_or_else(|| Error::Declined(format!("K = {k} is more than {most}")))
    }

    /// Multiprocessors of the device; 0 when unknown.
    pub(crate) fn multiprocessors(&self) -> usize {
        self.memory.device.info().multiprocessors
    }

    /// Appends a launch; one without blocks is left out.
    pub(crate) fn launch(&mut self, kernel: Kernel, blocks: usize, args: Args) {
        if blocks > 0 {
            self.launches.push(Launch { kernel, blocks, args });
        }
    }

    /// An instance of this job's type.
    pub(crate) fn kernel(&self, source: &'static str, template: &'static str, shape: Shape, width: usize) -> Kernel {
        Kernel { source, template, scalar: self.scalar, chunk: shape.chunk, width, slice: shape.slice }
    }

    fn execute(&mut self) -> Result<(), Error> {
        for Launch { kernel, blocks, args } in &self.launches {
            self.memory.device.launch(kernel, *blocks, args)?;
        }
        Ok(())
    }

    fn ran(&self) -> Vec<String> {
        self.launches.iter().map(|l| l.kernel.symbol()).collect()
    }
}

/// Outputs from a device, of which those with more than `whole` elements are cut to values from their middle: at the
/// ends of a sequence a gradient may well be zero.
fn answers(device: &mut dyn Device, outputs: &[Output], whole: usize) -> Result<Tensors, Error> {
    let mut tensors = Tensors::new();
    for output in outputs {
        let elements: usize = output.shape.iter().product();
        let (first, shape) = match elements > whole {
            true => ((elements - SAMPLE.1) / 2, vec![SAMPLE.1]),
            false => (0, output.shape.clone()),
        };
        let size = output.dtype.size();
        let mut bytes = vec![0; shape.iter().product::<usize>() * size];
        device.download(output.ptr.after(first * size).0, &mut bytes)?;
        let tensor = Tensor::from_bytes(output.dtype, &shape, bytes);
        tensors.insert(output.name.clone(), tensor.map_err(|e| Error::Declined(e.to_string()))?);
    }
    Ok(tensors)
}
