//! Launches of `kernels/chunk/gla.cu`.

use reference::spec::Dim;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::shapes::Shape;
use crate::shapes::gla::{SOURCE, Shapes, fused, shapes, templates};

/// What every launch needs.
struct Common {
    width: usize,
    scale: f32,
    g: Ptr,
    gv: Ptr,
    shapes: Shapes,
    /// Forward pass, gradients of the states, gradients.
    templates: [&'static str; 3],
    layout: Layout,
}

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let k = job.problem.size(Dim::K);
    let width = job.width(k)?;
    let scale = job.problem.number("scale").unwrap_or_else(|| (k as f64).powf(-0.5)) as f32;
    let (g, gv) = (job.input("g")?, job.input("gv")?);
    let both = gv != Ptr::NULL || job.wants("d_gv");
    let shapes = shapes(job.target, job.scalar, width, both);
    let layout = job.layout(shapes.sweep.chunk)?;
    let common = Common { width, scale, g, gv, shapes, templates: templates(both), layout };
    let gradients = job.wants_any(&["d_q", "d_k", "d_v", "d_g", "d_gv"]);
    let elements = layout.total * [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d)).iter().product::<usize>();
    let storage = job.storage();
    let states = if gradients { job.workspace("states", storage, elements)? } else { Ptr::NULL };
    if gradients || job.wants_any(&["o", "ht"]) {
        forward(job, &common, states)?;
    }
    let fits = |shape: &Shape| job.roomy && gradients && !both && job.problem.size(Dim::V) <= shape.slice;
    if let Some(shape) = fused(job.target, job.scalar, width).filter(fits) {
        return backward(job, &common, shape, states);
    }
    if gradients || job.wants("d_h0") {
        let d_states = if gradients { job.workspace("d_states", storage, elements)? } else { Ptr::NULL };
        state_gradients(job, &common, d_states)?;
        if gradients {
            chunks(job, &common, states, d_states)?;
        }
    }
    Ok(())
}

impl Common {
    /// H, K, V, slices, reverse, scale: the tail of every argument struct.
    fn tail(&self, job: &Job<'_>, args: Args, shape: Shape) -> Args {
        let [h, k, v] = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        args.ints(&[h, k, v, v.div_ceil(shape.slice), usize::from(job.problem.reversed())]).float(self.scale)
    }

    /// Launches a sweep: one block for each sequence, head and slice of V.
    fn sweep(&self, job: &mut Job<'_>, template: &'static str, shape: Shape, args: Args) {
        let [n, h, v] = [Dim::N, Dim::H, Dim::V].map(|d| job.problem.size(d));
        let args = self.tail(job, args, shape);
        job.launch(job.kernel(SOURCE, template, shape, self.width), n * h * v.div_ceil(shape.slice), args);
    }
}

fn forward(job: &mut Job<'_>, common: &Common, states: Ptr) -> Result<(), Error> {
    let [q, k, v, h0] = ["q", "k", "v", "h0"].map(|name| job.input(name));
    let Layout { offsets, chunks, .. } = common.layout;
    let (o, ht) = (job.output("o"), job.output("ht"));
    let args = Args::new(&[q?, k?, v?, common.g, common.gv, h0?, o, ht, states, offsets, chunks]);
    common.sweep(job, common.templates[0], common.shapes.sweep, args);
    Ok(())
}

fn backward(job: &mut Job<'_>, common: &Common, shape: Shape, states: Ptr) -> Result<(), Error> {
    let [q, k, v, d_o, h0, d_ht] = ["q", "k", "v", "d_o", "h0", "d_ht"].map(|name| job.input(name));
    let [d_q, d_k, d_v, d_g, d_h0] = ["d_q", "d_k", "d_v", "d_g", "d_h0"].map(|name| job.output(name));
    let Layout { offsets, chunks, .. } = common.layout;
    let inputs = [q?, k?, v?, d_o?, common.g, h0?, d_ht?, states];
    let args = Args::new(&[&inputs[..], &[d_q, d_k, d_v, d_g, d_h0, offsets, chunks]].concat());
    common.sweep(job, "GlaBackward", shape, args);
    Ok(())
}

fn state_gradients(job: &mut Job<'_>, common: &Common, d_states: Ptr) -> Result<(), Error> {
    let [q, d_o, d_ht] = ["q", "d_o", "d_ht"].map(|name| job.input(name));
    let Layout { offsets, chunks, .. } = common.layout;
    let args = Args::new(&[q?, d_o?, common.g, common.gv, d_ht?, d_states, job.output("d_h0"), offsets, chunks]);
    common.sweep(job, common.templates[1], common.shapes.sweep, args);
    Ok(())
}

fn chunks(job: &mut Job<'_>, common: &Common, states: Ptr, d_states: Ptr) -> Result<(), Error> {
    let [q, k, v, d_o, h0] = ["q", "k", "v", "d_o", "h0"].map(|name| job.input(name));
    let [d_q, d_k, d_v, d_g, d_gv] = ["d_q", "d_k", "d_v", "d_g", "d_gv"].map(|name| job.output(name));
    let Layout { offsets, chunks, sequence_of_chunk, total } = common.layout;
    let inputs = [q?, k?, v?, d_o?, common.g, common.gv, h0?, states, d_states];
    let outputs = [d_q, d_k, d_v, d_g, d_gv, offsets, chunks, sequence_of_chunk];
    let shape = common.shapes.gradients;
    let args = common.tail(job, Args::new(&[&inputs[..], &outputs].concat()), shape);
    let blocks = total * job.problem.size(Dim::H);
    job.launch(job.kernel(SOURCE, common.templates[2], shape, common.width), blocks, args);
    Ok(())
}
