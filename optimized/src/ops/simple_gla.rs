//! Launches of `kernels/chunk/simple_gla.cu`: `simple_gla` itself, and the ops whose decays are constants or none at all.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::shapes::Shape;
use crate::shapes::simple_gla::{SOURCE, shapes};

/// What every launch needs.
struct Common {
    width: usize,
    scale: f32,
    g: Ptr,
    g_gamma: Ptr,
}

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let (g, g_gamma) = (job.input("g")?, job.input("g_gamma")?);
    plan(job, g, g_gamma)
}

/// The decay of head η is 1 − 2^(−5−η).
pub(super) fn retention(job: &mut Job<'_>) -> Result<(), Error> {
    let g_gamma = constants(job, |head, _| (-(-5.0 - head).exp2()).ln_1p())?;
    plan(job, Ptr::NULL, g_gamma)
}

/// The log decay of head η of H is −8 η / H (1 − layer / layers).
pub(super) fn lightning_attn(job: &mut Job<'_>) -> Result<(), Error> {
    let [layer, layers] = ["layer_idx", "num_layers"].map(|name| job.problem.number(name).unwrap_or(0.0));
    let g_gamma = constants(job, |head, heads| -8.0 * head / heads * (1.0 - layer / layers))?;
    plan(job, Ptr::NULL, g_gamma)
}

/// Nothing decays.
pub(super) fn linear_attn(job: &mut Job<'_>) -> Result<(), Error> {
    plan(job, Ptr::NULL, Ptr::NULL)
}

/// A log decay for each head, of its number and of how many there are.
fn constants(job: &mut Job<'_>, of: impl Fn(f64, f64) -> f64) -> Result<Ptr, Error> {
    let heads = job.problem.size(Dim::H);
    let decays: Vec<f32> = (0..heads).map(|head| of(head as f64, heads as f64) as f32).collect();
    job.table("g_gamma", &decays)
}

fn plan(job: &mut Job<'_>, g: Ptr, g_gamma: Ptr) -> Result<(), Error> {
    let k = job.problem.size(Dim::K);
    let width = job.width(k)?;
    let scale = job.problem.number("scale").unwrap_or_else(|| (k as f64).powf(-0.5)) as f32;
    let common = Common { width, scale, g, g_gamma };
    let shapes = shapes(job.target, job.scalar, width);
    if job.wants_any(&["o", "ht"]) {
        forward(job, &common, shapes.forward)?;
    }
    let gradients = job.wants_any(&["d_q", "d_k", "d_v", "d_g"]);
    if !gradients && !job.wants("d_h0") {
        return Ok(());
    }
    let layout = job.layout(shapes.sweep.chunk)?;
    let state = job.problem.size(Dim::H) * k * job.problem.size(Dim::V);
    let states = job.workspace("states", DType::F32, layout.total * state)?;
    let d_states = job.workspace("d_states", DType::F32, layout.total * state)?;
    if gradients {
        let (left, right, initial) = (job.input("k")?, job.input("v")?, job.input("h0")?);
        let ends = [initial, states, Ptr::NULL];
        sweep(job, &common, &layout, "SimpleGlaStates", shapes.sweep, [left, right], ends);
    }
    let (left, right, initial) = (job.input("q")?, job.input("d_o")?, job.input("d_ht")?);
    let ends = [initial, d_states, job.output("d_h0")];
    sweep(job, &common, &layout, "SimpleGlaStateGradients", shapes.sweep, [left, right], ends);
    if gradients {
        chunks(job, &common, &layout, shapes.gradients, states, d_states)?;
    }
    Ok(())
}

impl Common {
    /// H, K, V, slices, reverse, scale: the tail of every argument struct.
    fn tail(&self, job: &Job<'_>, args: Args, shape: Shape) -> Args {
        let [h, k, v] = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        args.ints(&[h, k, v, v.div_ceil(shape.slice), usize::from(job.problem.reversed())]).float(self.scale)
    }

    /// One block for each sequence, head and slice of V.
    fn sweeps(job: &Job<'_>, shape: Shape) -> usize {
        job.problem.size(Dim::N) * job.problem.size(Dim::H) * job.problem.size(Dim::V).div_ceil(shape.slice)
    }
}

fn forward(job: &mut Job<'_>, common: &Common, shape: Shape) -> Result<(), Error> {
    let layout = job.layout(shape.chunk)?;
    let elements = [Dim::B, Dim::T, Dim::H, Dim::V].map(|d| job.problem.size(d)).iter().product();
    let o = job.output_or_workspace("o", job.storage(), elements)?;
    let (q, k, v, h0) = (job.input("q")?, job.input("k")?, job.input("v")?, job.input("h0")?);
    let args = Args::new(&[q, k, v, common.g, common.g_gamma, h0, o, job.output("ht"), layout.offsets]);
    let (blocks, args) = (Common::sweeps(job, shape), common.tail(job, args, shape));
    job.launch(job.kernel(SOURCE, "SimpleGlaForward", shape, common.width), blocks, args);
    Ok(())
}

fn sweep(
    job: &mut Job<'_>,
    common: &Common,
    layout: &Layout,
    template: &'static str,
    shape: Shape,
    [left, right]: [Ptr; 2],
    [initial, states, last]: [Ptr; 3],
) {
    let pointers = [left, right, common.g, common.g_gamma, initial, states, last, layout.offsets, layout.chunks];
    let args = common.tail(job, Args::new(&pointers), shape);
    job.launch(job.kernel(SOURCE, template, shape, common.width), Common::sweeps(job, shape), args);
}

fn chunks(
    job: &mut Job<'_>,
    common: &Common,
    layout: &Layout,
    shape: Shape,
    states: Ptr,
    d_states: Ptr,
) -> Result<(), Error> {
    let (q, k, v, d_o) = (job.input("q")?, job.input("k")?, job.input("v")?, job.input("d_o")?);
    let [d_q, d_k, d_v, d_g] = ["d_q", "d_k", "d_v", "d_g"].map(|name| job.output(name));
    let args = Args::new(&[
        q,
        k,
        v,
        d_o,
        common.g,
        common.g_gamma,
        states,
        d_states,
        d_q,
        d_k,
        d_v,
        d_g,
        layout.offsets,
        layout.chunks,
        layout.sequence_of_chunk,
    ]);
    let (blocks, args) = (layout.total * job.problem.size(Dim::H), common.tail(job, args, shape));
    job.launch(job.kernel(SOURCE, "SimpleGlaGradients", shape, common.width), blocks, args);
    Ok(())
}
