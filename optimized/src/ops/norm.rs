//! Launches of `kernels/rows/norm.cu`: `l2_norm`, `rms_norm` and `rms_norm_gated`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::Job;
use crate::error::Error;
use crate::shapes::norm::{SUMMED, kernel};

/// Blocks that share the rows when each leaves sums over its rows behind: two for each multiprocessor of a large GPU.
const SUMMING: usize = 264;

/// Otherwise, blocks that keep it busy, and how often one then gets rows to work on, so that later ones are on their
/// way while it does.
const BUSY: usize = 1056;
const STEPS: usize = 6;

/// Elements of a block's rows.
const ELEMENTS: usize = 1 << 30;

/// Rows to be normalised.
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) width: usize,
    pub(super) eps: f32,
    /// Factor on the sum of squares.
    pub(super) mean: f32,
    /// Whether the gate is x σ(x), not σ(x).
    pub(super) swish: bool,
}

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let [b, t, d] = [Dim::B, Dim::T, Dim::D].map(|dim| job.problem.size(dim));
    let eps = job.problem.number("eps").unwrap_or(0.0) as f32;
    let mean = if job.problem.spec.name == "l2_norm" { 1.0 } else { (1.0 / d.max(1) as f64) as f32 };
    let swish = job.problem.word("activation") == "swish";
    let rows = Rows { count: b * t, width: d, eps, mean, swish };
    let (x, residual, g) = (job.input("x")?, job.input("residual")?, job.input("g")?);
    let inputs = [x, residual, g, job.input("weight")?, job.input("bias")?];
    if job.wants_any(&["o", "s"]) {
        let outputs = ["o", "s"].map(|name| job.output(name));
        rows.forward(job, inputs, outputs);
    }
    let gradients = ["d_x", "d_residual", "d_g", "d_weight", "d_bias"];
    if job.wants_any(&gradients) {
        let cotangents = [job.input("d_o")?, job.input("d_s")?];
        let gradients = gradients.map(|name| job.output(name));
        rows.backward(job, inputs, cotangents, gradients)?;
    }
    Ok(())
}

impl Rows {
    /// `inputs`: x, residual, g, weight, bias; `outputs`: o, s. Null is what is not there.
    pub(super) fn forward(&self, job: &mut Job<'_>, inputs: [Ptr; 5], outputs: [Ptr; 2]) {
        let kernel = kernel("NormForward", job.scalar, self.width);
        let each = self.each(kernel.slice / kernel.chunk, false);
        let args = self.args(inputs, [Ptr::NULL; 2], outputs, [Ptr::NULL; 6], each);
        job.launch(kernel, self.blocks(each), args);
    }

    /// `cotangents`: of o and s; `gradients`: of x, residual, g, weight, bias. Null is what is not there.
    pub(super) fn backward(
        &self,
        job: &mut Job<'_>,
        inputs: [Ptr; 5],
        cotangents: [Ptr; 2],
        [d_x, d_residual, d_g, d_weight, d_bias]: [Ptr; 5],
    ) -> Result<(), Error> {
        let scalar = job.scalar;
        let backward = kernel("NormBackward", scalar, self.width);
        let at_once = backward.slice / backward.chunk;
        let sums = [d_weight, d_bias].iter().any(|&d| d != Ptr::NULL);
        let each = self.each(at_once, sums);
        let elements = 2 * self.width * self.blocks(each);
        let partial = if sums { job.workspace("partial", DType::F32, elements)? } else { Ptr::NULL };
        let gradients = [d_x, d_residual, d_g, d_weight, d_bias, partial];
        let args = self.args(inputs, cotangents, [Ptr::NULL; 2], gradients, each);
        job.launch(backward, self.blocks(each), args.clone());
        if sums {
            job.launch(kernel("NormSums", scalar, 1), 2 * self.width.div_ceil(SUMMED), args);
        }
        Ok(())
    }

    /// The rows of a block that works on so many at once.
    fn each(&self, at_once: usize, sums: bool) -> usize {
        let steps = self.count.div_ceil(at_once);
        let steps = if sums { steps.div_ceil(SUMMING) } else { (steps / BUSY).min(STEPS) };
        at_once * steps.clamp(1, (ELEMENTS / (at_once * self.width.max(1))).max(1))
    }

    fn blocks(&self, each: usize) -> usize {
        if self.width == 0 { 0 } else { self.count.div_ceil(each) }
    }

    fn args(
        &self,
        inputs: [Ptr; 5],
        cotangents: [Ptr; 2],
        outputs: [Ptr; 2],
        gradients: [Ptr; 6],
        each: usize,
    ) -> Args {
        let pointers = [&inputs[..], &cotangents, &outputs, &gradients].concat();
        let args = Args::new(&pointers).long(self.count).long(each).ints(&[self.width, usize::from(self.swish)]);
        args.float(self.eps).float(self.mean)
    }
}
