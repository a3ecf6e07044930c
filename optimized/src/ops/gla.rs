//! Launches of `kernels/chunk/gla.cu`.

use reference::spec::Dim;

use super::pieces::Sums;
use super::step;
use super::windows::{Cuts, Gates, OF_NOBODY};
use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
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
    cut: Sums,
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
    let (chunk, gates) = (shapes.sweep.chunk, Gates::of_channels(g, job.scalar));
    let heads = [job.problem.size(Dim::H), slices];
    let cuts = if may { Cuts::new(job, chunk, heads, width, gates)? } else { Cuts::none(job, chunk)? };
    let cut = Sums::new(job, cuts, true)?;
    let common = Common { width, scale, g, gv, shapes, templates: templates(both), cut, roomy };
    let elements =
        cut.cuts.pieces.layout.total * [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d)).iter().product::<usize>();
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
        state_gradients(job, &common, [d_ht, d_states, d_h0], cut.cuts.entering())?;
        if gradients {
            chunks(job, &common, states, d_states)?;
        }
    }
    Ok(())
}

impl Common {
    /// H, K, V, slices, reverse: the tail of every argument struct, but for the scale.
    fn tail(job: &Job<'_>, args: Args, shape: Shape) -> Args {
        let [h, k, v] = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        args.ints(&[h, k, v, v.div_ceil(shape.slice), usize::from(job.problem.reversed())])
    }

    /// A mark for each block of a sweep: whether it met late channels.
    fn late(&self, job: &mut Job<'_>, name: &str, shape: Shape) -> Result<Ptr, Error> {
        let [h, v] = [Dim::H, Dim::V].map(|d| job.problem.size(d));
        self.cut.cuts.marks(job, name, h * v.div_ceil(shape.slice))
    }

    /// Launches a sweep: one block for each piece of a sequence, head and slice of V.
    fn sweep(&self, job: &mut Job<'_>, template: &'static str, shape: Shape, args: Args, entering: usize) {
        let [h, v] = [Dim::H, Dim::V].map(|d| job.problem.size(d));
        let args = Self::tail(job, args, shape).ints(&[entering]).float(self.scale);
        let blocks = self.cut.cuts.pieces.count * h * v.div_ceil(shape.slice);
        job.launch(job.kernel(SOURCE, template, shape, self.width), blocks, args);
    }
}

fn forward(job: &mut Job<'_>, common: &Common, states: Ptr) -> Result<(), Error> {
    let [q, k, v, h0] = ["q", "k", "v", "h0"].map(|name| job.input(name));
    let (Layout { offsets, chunks, .. }, cuts) = (common.cut.cuts.pieces.layout, common.cut.cuts);
    let (o, ht) = (job.output("o"), job.output("ht"));
    let h0 = enter(job, common, h0?)?;
    let roles = common.roomy.filter(|_| o != Ptr::NULL);
    let late = roles.map_or(Ok(Ptr::NULL), |shape| common.late(job, "late", shape))?;
    let pointers = [q?, k?, v?, common.g, common.gv, h0, o, ht, states, late, offsets, chunks];
    let args = Args::new(&[&pointers[..], &cuts.tables(false)].concat());
    if let Some(shape) = roles {
        common.sweep(job, "GlaRoles", shape, args.clone(), cuts.entering());
        common.sweep(job, "GlaRolesLate", shape, args, cuts.entering());
    } else {
        common.sweep(job, common.templates[0], common.shapes.sweep, args, cuts.entering());
    }
    Ok(())
}

/// The states that enter pieces: those of sequences unless pieces are summed up.
fn enter(job: &mut Job<'_>, common: &Common, h0: Ptr) -> Result<Ptr, Error> {
    let Some(shape) = common.roomy.filter(|_| common.cut.cuts.summed) else {
        return Ok(h0);
    };
    let [k, v] = ["k", "v"].map(|name| job.input(name));
    let starts = common.cut.workspace(job, "starts")?;
    let args = Args::new(&[&[k?, v?, common.g][..], &common.cut.outputs(starts)].concat());
    common.sweep(job, "GlaPieces", shape, args, OF_NOBODY);
    common.cut.join(job, starts, h0, false);
    Ok(starts)
}

/// Likewise the gradients that enter pieces from behind.
fn enter_back(job: &mut Job<'_>, common: &Common, d_ht: Ptr) -> Result<Ptr, Error> {
    if !common.cut.cuts.summed {
        return Ok(d_ht);
    }
    let backs = common.cut.workspace(job, "backs")?;
    state_gradients(job, common, [Ptr::NULL, Ptr::NULL, backs], OF_NOBODY)?;
    common.cut.join(job, backs, d_ht, true);
    Ok(backs)
}

fn backward(job: &mut Job<'_>, common: &Common, shape: Shape, states: Ptr) -> Result<(), Error> {
    let [q, k, v, d_o, h0] = ["q", "k", "v", "d_o", "h0"].map(|name| job.input(name));
    let [d_q, d_k, d_v, d_g] = ["d_q", "d_k", "d_v", "d_g"].map(|name| job.output(name));
    let (d_ht, d_h0) = (job.input("d_ht")?, job.output("d_h0"));
    let d_ht = enter_back(job, common, d_ht)?;
    let (Layout { offsets, chunks, .. }, cuts) = (common.cut.cuts.pieces.layout, common.cut.cuts);
    let inputs = [q?, k?, v?, d_o?, common.g, h0?, d_ht, states];
    let late = common.late(job, "late back", shape)?;
    let outputs = [d_q, d_k, d_v, d_g, d_h0, late, offsets, chunks];
    let args = Args::new(&[&inputs[..], &outputs, &cuts.tables(true)].concat());
    common.sweep(job, "GlaBackward", shape, args.clone(), cuts.entering());
    common.sweep(job, "GlaBackwardLate", shape, args, cuts.entering());
    Ok(())
}

/// From the gradient of the last state those of the others, and of the first.
fn state_gradients(
    job: &mut Job<'_>,
    common: &Common,
    [d_ht, d_states, d_h0]: [Ptr; 3],
    entering: usize,
) -> Result<(), Error> {
    let [q, d_o] = ["q", "d_o"].map(|name| job.input(name));
    let (Layout { offsets, chunks, .. }, cuts) = (common.cut.cuts.pieces.layout, common.cut.cuts);
    let pointers = [q?, d_o?, common.g, common.gv, d_ht, d_states, d_h0, offsets, chunks];
    let args = Args::new(&[&pointers[..], &cuts.tables(true)].concat());
    common.sweep(job, common.templates[1], common.shapes.sweep, args, entering);
    Ok(())
}

fn chunks(job: &mut Job<'_>, common: &Common, states: Ptr, d_states: Ptr) -> Result<(), Error> {
    let [q, k, v, d_o, h0] = ["q", "k", "v", "d_o", "h0"].map(|name| job.input(name));
    let [d_q, d_k, d_v, d_g, d_gv] = ["d_q", "d_k", "d_v", "d_g", "d_gv"].map(|name| job.output(name));
    let Layout { offsets, chunks, sequence_of_chunk, total } = common.cut.cuts.pieces.layout;
    let inputs = [q?, k?, v?, d_o?, common.g, common.gv, h0?, states, d_states];
    let outputs = [d_q, d_k, d_v, d_g, d_gv, offsets, chunks, sequence_of_chunk];
    let shape = common.shapes.gradients;
    let args = Common::tail(job, Args::new(&[&inputs[..], &outputs].concat()), shape).float(common.scale);
    let blocks = total * job.problem.size(Dim::H);
    job.launch(job.kernel(SOURCE, common.templates[2], shape, common.width), blocks, args);
    Ok(())
}
