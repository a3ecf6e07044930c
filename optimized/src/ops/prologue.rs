//! Launches of `kernels/delta/prologue.cu`: what happens to the inputs of the delta rules before the recurrence, and
//! the way back.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::shapes::prologue::{GATE, GROUP_SUM, NORM, SOURCE};
use crate::shapes::{Kernel, Shape};

/// Elements of a block of the elementwise kernels.
const COUNT: usize = GATE.chunk * GATE.width;

/// Heads of values: where keys are not shared there is one for each key head.
pub(super) fn value_heads(job: &Job<'_>) -> usize {
    let dim = if job.problem.spec.sizes.contains(&Dim::HV) { Dim::HV } else { Dim::H };
    job.problem.size(dim)
}

/// Gates of a value head: one, or one for each key channel.
fn gate_width(job: &Job<'_>) -> usize {
    let each = job.problem.spec.input("g").is_some_and(|g| g.dims.contains(&Dim::K));
    if each { job.problem.size(Dim::K) } else { 1 }
}

/// The inputs as the recurrence uses them.
pub(super) struct Prologue {
    pub(super) q: Ptr,
    pub(super) k: Ptr,
    pub(super) g: Ptr,
    pub(super) beta: Ptr,
    factor: f32,
}

impl Prologue {
    pub(super) fn forward(job: &mut Job<'_>, rows: usize, width: usize) -> Result<Self, Error> {
        let (mut q, mut k) = (job.input("q")?, job.input("k")?);
        let (mut g, mut beta) = (job.input("g")?, job.input("beta")?);
        let hv = value_heads(job);
        let factor = if job.problem.flag("allow_neg_eigval") { 2.0 } else { 1.0 };
        if job.problem.flag("qk_l2norm") {
            for (name, x) in [("normal q", &mut q), ("normal k", &mut k)] {
                let heads = rows * job.problem.size(Dim::H);
                let out = job.workspace(name, job.storage(), heads * job.problem.size(Dim::K))?;
                norm(job, "NormForward", heads, width, [*x, Ptr::NULL, out]);
                *x = out;
            }
        }
        if job.problem.flag("softplus_gate") {
            let width = gate_width(job);
            let elements = rows * hv * width;
            let out = job.workspace("log decay", DType::F32, elements)?;
            let pointers = [
                g,
                job.input("A_log")?,
                job.input("dt_bias")?,
                Ptr::NULL,
                out,
                Ptr::NULL,
                Ptr::NULL,
                Ptr::NULL,
                Ptr::NULL,
            ];
            let args = Args::new(&pointers).long(rows).ints(&[hv * width, width]);
            job.launch(gate("GateForward"), elements.div_ceil(COUNT), args);
            g = out;
        }
        if job.problem.flag("beta_sigmoid") {
            let out = job.workspace("write strength", DType::F32, rows * hv)?;
            let args = Args::new(&[beta, Ptr::NULL, out]).long(rows * hv).float(factor);
            job.launch(gate("BetaForward"), (rows * hv).div_ceil(COUNT), args);
            beta = out;
        }
        Ok(Self { q, k, g, beta, factor })
    }

    /// Where the recurrence's own gradients by q, k, g and β go: to the outputs, or to be carried further back.
    pub(super) fn gradients(job: &mut Job<'_>, rows: usize) -> Result<[Ptr; 4], Error> {
        let [h, k] = [Dim::H, Dim::K].map(|d| job.problem.size(d));
        let (hv, width) = (value_heads(job), gate_width(job));
        let (norm, gate, sigmoid) =
            (job.problem.flag("qk_l2norm"), job.problem.flag("softplus_gate"), job.problem.flag("beta_sigmoid"));
        let storage = job.storage();
        let d_gate = job.wants_any(&["d_g", "d_A_log", "d_dt_bias"]);
        let [d_q, d_k, d_beta] = ["d_q", "d_k", "d_beta"].map(|name| job.wants(name));
        let mut place = |name: &str, wanted: bool, before: bool, dtype, elements| match (wanted, before) {
            (false, _) => Ok(Ptr::NULL),
            (true, true) => job.workspace(&format!("inner {name}"), dtype, elements),
            (true, false) => Ok(job.output(name)),
        };
        Ok([
            place("d_q", d_q, norm, storage, rows * h * k)?,
            place("d_k", d_k, norm, storage, rows * h * k)?,
            place("d_g", d_gate, gate, DType::F32, rows * hv * width)?,
            place("d_beta", d_beta, sigmoid, DType::F32, rows * hv)?,
        ])
    }

    /// The way back through the prologue.
    pub(super) fn backward(
        &self,
        job: &mut Job<'_>,
        rows: usize,
        width: usize,
        [d_q, d_k, d_g, d_beta]: [Ptr; 4],
    ) -> Result<(), Error> {
        let hv = value_heads(job);
        if job.problem.flag("qk_l2norm") {
            let heads = rows * job.problem.size(Dim::H);
            for (name, d_y) in [("q", d_q), ("k", d_k)] {
                if d_y != Ptr::NULL {
                    let pointers = [job.input(name)?, d_y, job.output(&format!("d_{name}"))];
                    norm(job, "NormBackward", heads, width, pointers);
                }
            }
        }
        if job.problem.flag("softplus_gate") && d_g != Ptr::NULL {
            gate_backward(job, rows, d_g)?;
        }
        if job.problem.flag("beta_sigmoid") && d_beta != Ptr::NULL {
            let pointers = [job.input("beta")?, d_beta, job.output("d_beta")];
            let args = Args::new(&pointers).long(rows * hv).float(self.factor);
            job.launch(gate("BetaBackward"), (rows * hv).div_ceil(COUNT), args);
        }
        Ok(())
    }
}

fn gate_backward(job: &mut Job<'_>, rows: usize, d_g: Ptr) -> Result<(), Error> {
    let (hv, width) = (value_heads(job), gate_width(job));
    let columns = hv * width;
    let sums = job.wants_any(&["d_A_log", "d_dt_bias"]);
    let blocks = rows.div_ceil(GATE.chunk);
    let partial = if sums { job.workspace("partial", DType::F32, 2 * blocks * columns)? } else { Ptr::NULL };
    let (raw, a_log, dt_bias) = (job.input("g")?, job.input("A_log")?, job.input("dt_bias")?);
    let [d_raw, d_a_log, d_dt_bias] = ["d_g", "d_A_log", "d_dt_bias"].map(|name| job.output(name));
    let pointers = [raw, a_log, dt_bias, d_g, Ptr::NULL, d_raw, partial, d_a_log, d_dt_bias];
    let args = Args::new(&pointers).long(rows).ints(&[columns, width]);
    job.launch(gate("GateBackward"), blocks * columns.div_ceil(GATE.width), args.clone());
    if sums {
        job.launch(gate("GateSums"), hv, args);
    }
    Ok(())
}

fn gate(template: &'static str) -> Kernel {
    Kernel { template, ..GATE }
}

fn norm(job: &mut Job<'_>, template: &'static str, rows: usize, width: usize, pointers: [Ptr; 3]) {
    let args = Args::new(&pointers).long(rows).ints(&[job.problem.size(Dim::K)]);
    job.launch(job.kernel(SOURCE, template, NORM, width), rows.div_ceil(NORM.chunk), args);
}

/// The gradient of keys that value heads share, `[R, H, K]`, from one for each value head.
pub(super) fn sum_groups(job: &mut Job<'_>, rows: usize, width: usize, [partial, sum]: [Ptr; 2]) {
    let [h, k] = [Dim::H, Dim::K].map(|d| job.problem.size(d));
    let args = Args::new(&[partial, sum]).long(rows).ints(&[h, value_heads(job), k]);
    let Shape { chunk, .. } = GROUP_SUM;
    job.launch(job.kernel(SOURCE, "GroupSum", GROUP_SUM, width), rows.div_ceil(chunk) * h, args);
}
