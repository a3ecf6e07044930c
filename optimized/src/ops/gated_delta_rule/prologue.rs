//! Launches of `kernels/delta/prologue.cu`: what happens to the inputs before the recurrence, and the way back.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::shapes::Kernel;
use crate::shapes::gated_delta_rule::{GATE, NORM, PROLOGUE};

/// Elements of a block of the elementwise kernels.
const COUNT: usize = GATE.chunk * GATE.width;

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
        let hv = job.problem.size(Dim::HV);
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
            let out = job.workspace("log decay", DType::F32, rows * hv)?;
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
            job.launch(gate("GateForward"), (rows * hv).div_ceil(COUNT), Args::new(&pointers).long(rows).ints(&[hv]));
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
        let [h, hv, k] = [Dim::H, Dim::HV, Dim::K].map(|d| job.problem.size(d));
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
            place("d_g", d_gate, gate, DType::F32, rows * hv)?,
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
        let hv = job.problem.size(Dim::HV);
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
    let hv = job.problem.size(Dim::HV);
    let sums = job.wants_any(&["d_A_log", "d_dt_bias"]);
    let blocks = rows.div_ceil(COUNT);
    let partial = if sums { job.workspace("partial", DType::F32, 2 * blocks * hv)? } else { Ptr::NULL };
    let (raw, a_log, dt_bias) = (job.input("g")?, job.input("A_log")?, job.input("dt_bias")?);
    let [d_raw, d_a_log, d_dt_bias] = ["d_g", "d_A_log", "d_dt_bias"].map(|name| job.output(name));
    let pointers = [raw, a_log, dt_bias, d_g, Ptr::NULL, d_raw, partial, d_a_log, d_dt_bias];
    let args = Args::new(&pointers).long(rows).ints(&[hv]);
    job.launch(gate("GateBackward"), blocks * hv, args.clone());
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
    job.launch(job.kernel(PROLOGUE, template, NORM, width), rows.div_ceil(NORM.chunk), args);
}
