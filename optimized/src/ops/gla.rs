//! Launches of `kernels/chunk/gla.cu`.

use reference::spec::Dim;

use super::pieces::Cut;
use super::step;
use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout, Pieces};
use crate::error::Error;
use crate::shapes::Shape;
use crate::shapes::gla::{SOURCE, Shapes, roomy, shapes, templates};
use crate::shapes::step::GLA;

/// What every launch needs.
struct Common {
    width: usize,
    scale: f32,
    g: Ptr,
    gv: Ptr,
    shapes: Shapes,
    /// Forward pass, gradients of the states, gradients.
    templates: [&'static str; 3],
    cut: Cut,
    /// What the kernels that need much room are given, where they fit.
    roomy: Option<Shape>,
}

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    if job.is_step() {
        return step::lay_out(job, GLA, Ptr::NULL);
    }
    let k = job.problem.size(Dim::K);
    let width = job.width(k)?;
    let scale = job.problem.number("scale").unwrap_or_else(|| (k as f64).powf(-0.5)) as f32;
    let (g, gv) = (job.input("g")?, job.input("gv")?);
    let both = gv != Ptr::NULL || job.wants("d_gv");
    let shapes = shapes(job.target, job.scalar, width, both);
    let gradients = job.wants_any(&["d_q", "d_k", "d_v", "d_g", "d_gv"]);
    let passes = gradients || job.wants_any(&["o", "ht"]);
    let roomy = roomy(job.target, job.scalar, width).filter(|_| job.roomy && !both);
    let fused = roomy.filter(|shape| gradients && job.problem.size(Dim::V) <= shape.slice);
    let slices = job.problem.size(Dim::V).div_ceil(shapes.sweep.slice);
    let may = passes && roomy.is_some() && (fused.is_some() || !gradients);
    let cut = Cut::new(job, shapes.sweep.chunk, slices, true, may)?;
    let common = Common { width, scale, g, gv, shapes, templates: templates(both), cut, roomy };
    let elements =
        cut.pieces.layout.total * [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d)).iter().product::<usize>();
    let storage = job.storage();
    let states = if gradients { job.workspace("states", storage, elements)? } else { Ptr::NULL };
    if passes {
        forward(job, &common, states)?;
    }
    if let Some(shape) = fused {
        return backward(job, &common, shape, states);
    }
    if gradients || job.wants("d_h0") {
        let d_states = if gradients { job.workspace("d_states", storage, elements)? } else { Ptr::NULL };
        let [d_ht, d_h0] = [job.input("d_ht")?, job.output("d_h0")];
        state_gradients(job, &common, [d_ht, d_states, d_h0])?;
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

    /// Launches a sweep: one block for each piece of a sequence, head and slice of V.
    fn sweep(&self, job: &mut Job<'_>, template: &'static str, shape: Shape, args: Args) {
        let [h, v] = [Dim::H, Dim::V].map(|d| job.problem.size(d));
        let args = self.tail(job, args, shape);
        let blocks = self.cut.pieces.count * h * v.div_ceil(shape.slice);
        job.launch(job.kernel(SOURCE, template, shape, self.width), blocks, args);
    }
}

fn forward(job: &mut Job<'_>, common: &Common, states: Ptr) -> Result<(), Error> {
    let [q, k, v, h0] = ["q", "k", "v", "h0"].map(|name| job.input(name));
    let Layout { offsets, chunks, .. } = common.cut.pieces.layout;
    let o = job.output("o");
    let [h0, ht] = enter(job, common, [h0?, job.output("ht")])?;
    if common.cut.split && o == Ptr::NULL && states == Ptr::NULL {
        return Ok(());
    }
    let args = Args::new(&[q?, k?, v?, common.g, common.gv, h0, o, ht, states, offsets, chunks]);
    match common.roomy.filter(|_| o != Ptr::NULL) {
        Some(shape) => common.sweep(job, "GlaRoles", shape, args),
        None => common.sweep(job, common.templates[0], common.shapes.sweep, args),
    }
    Ok(())
}

/// The states that enter pieces, and where the last states go: those of sequences unless they are cut.
fn enter(job: &mut Job<'_>, common: &Common, [h0, ht]: [Ptr; 2]) -> Result<[Ptr; 2], Error> {
    let Some(shape) = common.roomy.filter(|_| common.cut.split) else {
        return Ok([h0, ht]);
    };
    let [k, v] = ["k", "v"].map(|name| job.input(name));
    let starts = common.cut.workspace(job, "starts")?;
    let args = Args::new(&[&[k?, v?, common.g][..], &common.cut.outputs(starts)].concat());
    common.sweep(job, "GlaPieces", shape, args);
    common.cut.join(job, starts, [h0, ht], false);
    Ok([starts, Ptr::NULL])
}

/// Likewise the gradients that enter pieces from behind, and where those of the first states go.
fn enter_back(job: &mut Job<'_>, common: &Common, [d_ht, d_h0]: [Ptr; 2]) -> Result<[Ptr; 2], Error> {
    if !common.cut.split {
        return Ok([d_ht, d_h0]);
    }
    let backs = common.cut.workspace(job, "backs")?;
    state_gradients(job, common, [Ptr::NULL, Ptr::NULL, backs])?;
    common.cut.join(job, backs, [d_ht, d_h0], true);
    Ok([backs, Ptr::NULL])
}

fn backward(job: &mut Job<'_>, common: &Common, shape: Shape, states: Ptr) -> Result<(), Error> {
    let [q, k, v, d_o, h0] = ["q", "k", "v", "d_o", "h0"].map(|name| job.input(name));
    let [d_q, d_k, d_v, d_g] = ["d_q", "d_k", "d_v", "d_g"].map(|name| job.output(name));
    let ends = [job.input("d_ht")?, job.output("d_h0")];
    let [d_ht, d_h0] = enter_back(job, common, ends)?;
    let Pieces { layout: Layout { offsets, chunks, .. }, owners, firsts, .. } = common.cut.pieces;
    let inputs = [q?, k?, v?, d_o?, common.g, h0?, d_ht, states];
    let outputs = [d_q, d_k, d_v, d_g, d_h0, offsets, chunks, owners, firsts];
    let args = Args::new(&[&inputs[..], &outputs].concat());
    common.sweep(job, "GlaBackward", shape, args);
    Ok(())
}

/// From the gradient of the last state those of the others, and of the first.
fn state_gradients(job: &mut Job<'_>, common: &Common, [d_ht, d_states, d_h0]: [Ptr; 3]) -> Result<(), Error> {
    let [q, d_o] = ["q", "d_o"].map(|name| job.input(name));
    let Layout { offsets, chunks, .. } = common.cut.pieces.layout;
    let args = Args::new(&[q?, d_o?, common.g, common.gv, d_ht, d_states, d_h0, offsets, chunks]);
    common.sweep(job, common.templates[1], common.shapes.sweep, args);
    Ok(())
}

fn chunks(job: &mut Job<'_>, common: &Common, states: Ptr, d_states: Ptr) -> Result<(), Error> {
    let [q, k, v, d_o, h0] = ["q", "k", "v", "d_o", "h0"].map(|name| job.input(name));
    let [d_q, d_k, d_v, d_g, d_gv] = ["d_q", "d_k", "d_v", "d_g", "d_gv"].map(|name| job.output(name));
    let Layout { offsets, chunks, sequence_of_chunk, total } = common.cut.pieces.layout;
    let inputs = [q?, k?, v?, d_o?, common.g, common.gv, h0?, states, d_states];
    let outputs = [d_q, d_k, d_v, d_g, d_gv, offsets, chunks, sequence_of_chunk];
    let shape = common.shapes.gradients;
    let args = common.tail(job, Args::new(&[&inputs[..], &outputs].concat()), shape);
    let blocks = total * job.problem.size(Dim::H);
    job.launch(job.kernel(SOURCE, common.templates[2], shape, common.width), blocks, args);
    Ok(())
}
