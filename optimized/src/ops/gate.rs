//! Launches of `kernels/rows/gate.cu`: `gdn_gate`, `kda_gate` and `beta_sigmoid`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::shapes::gate::{COLUMNS, GATE, SUMMED, THREADS, chunk};
use crate::shapes::{Kernel, Scalar};

/// The log decay of each head and column.
pub(super) struct Gate {
    /// Type of the gate before this.
    pub(super) scalar: Scalar,
    pub(super) rows: usize,
    pub(super) heads: usize,
    /// Columns of a head.
    pub(super) width: usize,
    /// What the log decay stays above, when it does.
    pub(super) bound: Option<f32>,
    /// g, A_log, dt_bias; null is what is not there.
    pub(super) inputs: [Ptr; 3],
}

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let [b, t, h, k] = [Dim::B, Dim::T, Dim::H, Dim::K].map(|dim| job.problem.size(dim));
    let bound = job.problem.number("lower_bound").map(|bound| bound as f32);
    let inputs = [job.input("g")?, job.input("A_log")?, job.input("dt_bias")?];
    let gate = Gate { scalar: job.scalar, rows: b * t, heads: h, width: k, bound, inputs };
    if job.wants("o") {
        let o = job.output("o");
        gate.forward(job, o);
    }
    let gradients = ["d_g", "d_A_log", "d_dt_bias"];
    if job.wants_any(&gradients) {
        let d_o = job.input("d_o")?;
        let gradients = gradients.map(|name| job.output(name));
        gate.backward(job, d_o, gradients)?;
    }
    Ok(())
}

impl Gate {
    pub(super) fn forward(&self, job: &mut Job<'_>, o: Ptr) {
        let args = self.args(Ptr::NULL, o, [Ptr::NULL; 3], Ptr::NULL);
        job.launch(self.kernel("GateForward"), self.chunks() * self.slices(), args);
    }

    /// `gradients`: by g, A_log and dt_bias; null is what is not wanted.
    pub(super) fn backward(&self, job: &mut Job<'_>, d_o: Ptr, gradients: [Ptr; 3]) -> Result<(), Error> {
        let columns = self.heads * self.width;
        let sums = gradients[1..].iter().any(|&d| d != Ptr::NULL);
        let elements = 2 * self.chunks() * columns;
        let partial = if sums { job.workspace("partial", DType::F32, elements)? } else { Ptr::NULL };
        let args = self.args(d_o, Ptr::NULL, gradients, partial);
        job.launch(self.kernel("GateBackward"), self.chunks() * self.slices(), args.clone());
        if sums {
            job.launch(self.kernel("GateSums"), self.heads + columns.div_ceil(SUMMED), args);
        }
        Ok(())
    }

    fn kernel(&self, template: &'static str) -> Kernel {
        Kernel { template, scalar: self.scalar, chunk: self.chunk(), ..GATE }
    }

    fn chunk(&self) -> usize {
        chunk(self.rows, self.heads * self.width)
    }

    fn chunks(&self) -> usize {
        self.rows.div_ceil(self.chunk())
    }

    fn slices(&self) -> usize {
        (self.heads * self.width).div_ceil(COLUMNS * GATE.slice)
    }

    fn args(&self, d_o: Ptr, o: Ptr, [d_g, d_a_log, d_dt_bias]: [Ptr; 3], partial: Ptr) -> Args {
        let [g, a_log, dt_bias] = self.inputs;
        let args = Args::new(&[g, a_log, dt_bias, d_o, o, d_g, d_a_log, d_dt_bias, partial]).long(self.rows);
        let args = args.ints(&[self.heads, self.width, self.slices(), usize::from(self.bound.is_some())]);
        args.float(self.bound.unwrap_or(0.0))
    }
}

pub(super) fn lay_out_beta(job: &mut Job<'_>) -> Result<(), Error> {
    let count = [Dim::B, Dim::T, Dim::H].map(|dim| job.problem.size(dim)).iter().product();
    let scale = job.problem.number("scale").unwrap_or(1.0) as f32;
    let x = job.input("x")?;
    let scalar = job.scalar;
    if job.wants("o") {
        let o = job.output("o");
        beta(job, scalar, "BetaForward", [x, Ptr::NULL, o, Ptr::NULL], count, scale);
    }
    if job.wants("d_x") {
        let pointers = [x, job.input("d_o")?, Ptr::NULL, job.output("d_x")];
        beta(job, scalar, "BetaBackward", pointers, count, scale);
    }
    Ok(())
}

/// `pointers`: x, d_o, o, d_x; null is what is not there.
pub(super) fn beta(
    job: &mut Job<'_>,
    scalar: Scalar,
    template: &'static str,
    pointers: [Ptr; 4],
    count: usize,
    scale: f32,
) {
    let args = Args::new(&pointers).long(count).float(scale);
    job.launch(Kernel { template, scalar, ..GATE }, count.div_ceil(THREADS * GATE.slice), args);
}
