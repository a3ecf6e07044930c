//! Launches of `kernels/chunk/simple_gla.cu`: `simple_gla` itself, and the ops whose decays are constants or none at
//! all.

use reference::spec::Dim;

use super::pieces::Sums;
use super::step;
use super::windows::{Cuts, Gates, OF_NOBODY};
use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::shapes::simple_gla::{SOURCE, Shapes, roles, shapes};
use crate::shapes::step::SIMPLE_GLA;
use crate::shapes::{Scalar, Shape};

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let (g, g_gamma) = (job.input("g")?, job.input("g_gamma")?);
    with_decays(job, g, g_gamma)
}

/// The decay of head η is 1 − 2^(−5−η).
pub(super) fn retention(job: &mut Job<'_>) -> Result<(), Error> {
    let g_gamma = constants(job, |head, _| (-(-5.0 - head).exp2()).ln_1p())?;
    with_decays(job, Ptr::NULL, g_gamma)
}

/// The log decay of head η of H is −8 η / H (1 − layer / layers).
pub(super) fn lightning_attn(job: &mut Job<'_>) -> Result<(), Error> {
    let [layer, layers] = ["layer_idx", "num_layers"].map(|name| job.problem.number(name).unwrap_or(0.0));
    let g_gamma = constants(job, |head, heads| -8.0 * head / heads * (1.0 - layer / layers))?;
    with_decays(job, Ptr::NULL, g_gamma)
}

/// Nothing decays.
pub(super) fn linear_attn(job: &mut Job<'_>) -> Result<(), Error> {
    with_decays(job, Ptr::NULL, Ptr::NULL)
}

/// A log decay for each head, of its number and of how many there are.
fn constants(job: &mut Job<'_>, of: impl Fn(f64, f64) -> f64) -> Result<Ptr, Error> {
    let heads = job.problem.size(Dim::H);
    let decays: Vec<f32> = (0..heads).map(|head| of(head as f64, heads as f64) as f32).collect();
    job.table("g_gamma", &decays)
}

fn with_decays(job: &mut Job<'_>, g: Ptr, g_gamma: Ptr) -> Result<(), Error> {
    if job.is_step() {
        return step::lay_out(job, SIMPLE_GLA, g_gamma);
    }
    let mut pass = Pass::new(job, [g, g_gamma])?;
    pass.o = job.output("o");
    if pass.gradients || job.wants_any(&["o", "ht"]) {
        pass.forward(job)?;
    }
    let d_o = job.input("d_o")?;
    pass.backward(job, d_o)
}

/// What every launch of a call needs.
pub(super) struct Pass {
    width: usize,
    pub(super) scale: f32,
    /// Per token, per head; at most one of them.
    decays: [Ptr; 2],
    shapes: Shapes,
    cut: Sums,
    states: Ptr,
    /// Whether gradients are wanted, that by the initial state apart.
    pub(super) gradients: bool,
    /// What divides the outputs, or null.
    pub(super) divisor: Ptr,
    /// Where outputs go, or null.
    pub(super) o: Ptr,
    /// Where the gradients by q and k go.
    pub(super) d_keys: [Ptr; 2],
    /// The fused backward pass and the gradients of a chunk.
    pub(super) templates: [&'static str; 2],
}

impl Pass {
    pub(super) fn new(job: &mut Job<'_>, decays: [Ptr; 2]) -> Result<Self, Error> {
        let k = job.problem.size(Dim::K);
        let width = job.width(k)?;
        let scale = job.problem.number("scale").unwrap_or_else(|| (k as f64).powf(-0.5)) as f32;
        let shapes = shapes(job.target, job.scalar, width);
        let gradients = job.wants_any(&["d_q", "d_k", "d_v", "d_g"]);
        let forward = gradients || job.wants_any(&["o", "ht"]);
        let slice = roles(job.target, job.scalar, width).unwrap_or(shapes.forward).slice;
        let slices = job.problem.size(Dim::V).div_ceil(slice);
        let (chunk, gates) = (shapes.sweep.chunk, Gates::of_heads(decays[0], ([Ptr::NULL; 2], Scalar::F32)));
        let heads = [job.problem.size(Dim::H), slices];
        let cuts = if forward { Cuts::new(job, chunk, heads, width, gates)? } else { Cuts::none(job, chunk)? };
        let cut = Sums::new(job, cuts, false)?;
        let d_keys = ["d_q", "d_k"].map(|name| job.output(name));
        let templates = ["SimpleGlaBackward", "SimpleGlaGradients"];
        let [states, divisor, o] = [Ptr::NULL; 3];
        let mut pass = Self { width, scale, decays, shapes, cut, states, gradients, divisor, o, d_keys, templates };
        if gradients {
            pass.states = pass.workspace(job, "states")?;
        }
        Ok(pass)
    }

    /// A state for every chunk.
    fn workspace(&self, job: &mut Job<'_>, name: &str) -> Result<Ptr, Error> {
        let [h, k, v] = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        let storage = job.storage();
        job.workspace(name, storage, self.cut.cuts.pieces.layout.total * h * k * v)
    }

    /// H, K, V, slices, reverse: the tail of every argument struct, but for the scale.
    fn tail(job: &Job<'_>, args: Args, shape: Shape) -> Args {
        let [h, k, v] = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        args.ints(&[h, k, v, v.div_ceil(shape.slice), usize::from(job.problem.reversed())])
    }

    /// Launches a sweep: one block for each piece of a sequence, head and slice of V.
    fn sweep(&self, job: &mut Job<'_>, template: &'static str, shape: Shape, args: Args, entering: usize) {
        let [h, v] = [Dim::H, Dim::V].map(|d| job.problem.size(d));
        let args = Self::tail(job, args, shape).ints(&[entering]).float(self.scale);
        let blocks = self.cut.cuts.pieces.count * h * v.div_ceil(shape.slice);
        job.launch(job.kernel(SOURCE, template, shape, self.width), blocks, args);
    }

    pub(super) fn forward(&self, job: &mut Job<'_>) -> Result<(), Error> {
        let [q, k, v, h0] = ["q", "k", "v", "h0"].map(|name| job.input(name));
        let ([g, g_gamma], Sums { cuts, .. }) = (self.decays, self.cut);
        let Layout { offsets, chunks, .. } = cuts.pieces.layout;
        let (divisor, o, ht, states) = (self.divisor, self.o, job.output("ht"), self.states);
        let h0 = self.enter(job, h0?)?;
        let pointers = [q?, k?, v?, g, g_gamma, h0, divisor, o, ht, states, offsets, chunks];
        let args = Args::new(&[&pointers[..], &cuts.tables(false)].concat());
        match roles(job.target, job.scalar, self.width).filter(|_| o != Ptr::NULL) {
            Some(shape) => self.sweep(job, "SimpleGlaRoles", shape, args, cuts.entering()),
            None => self.sweep(job, "SimpleGlaForward", self.shapes.forward, args, cuts.entering()),
        }
        Ok(())
    }

    /// The states that enter pieces: those of sequences unless pieces are summed up.
    fn enter(&self, job: &mut Job<'_>, h0: Ptr) -> Result<Ptr, Error> {
        if !self.cut.cuts.summed {
            return Ok(h0);
        }
        let ([k, v], [g, g_gamma]) = (["k", "v"].map(|name| job.input(name)), self.decays);
        let starts = self.cut.workspace(job, "starts")?;
        let args = Args::new(&[&[k?, v?, g, g_gamma][..], &self.cut.outputs(starts)].concat());
        self.sweep(job, "SimpleGlaPieces", self.shapes.sweep, args, OF_NOBODY);
        self.cut.join(job, starts, h0, false);
        Ok(starts)
    }

    /// Likewise the gradients that enter pieces from behind.
    fn enter_back(&self, job: &mut Job<'_>, d_o: Ptr, d_ht: Ptr) -> Result<Ptr, Error> {
        if !self.cut.cuts.summed {
            return Ok(d_ht);
        }
        let backs = self.cut.workspace(job, "backs")?;
        self.state_gradients(job, d_o, [Ptr::NULL, Ptr::NULL, backs], OF_NOBODY)?;
        self.cut.join(job, backs, d_ht, true);
        Ok(backs)
    }

    /// From the gradient of the last state those of the others, and of the first.
    fn state_gradients(
        &self,
        job: &mut Job<'_>,
        d_o: Ptr,
        [d_ht, d_states, d_h0]: [Ptr; 3],
        entering: usize,
    ) -> Result<(), Error> {
        let (q, [g, g_gamma], Sums { cuts, .. }) = (job.input("q")?, self.decays, self.cut);
        let Layout { offsets, chunks, .. } = cuts.pieces.layout;
        let pointers = [q, d_o, g, g_gamma, d_ht, d_states, d_h0, offsets, chunks];
        let args = Args::new(&[&pointers[..], &cuts.tables(true)].concat());
        self.sweep(job, "SimpleGlaStateGradients", self.shapes.sweep, args, entering);
        Ok(())
    }

    /// The gradients that are wanted; those of the chunks need the states of [`Pass::forward`].
    pub(super) fn backward(&self, job: &mut Job<'_>, d_o: Ptr) -> Result<(), Error> {
        if !self.gradients && !job.wants("d_h0") {
            return Ok(());
        }
        let ends = [job.input("d_ht")?, job.output("d_h0")];
        let (ends, entering) = ([self.enter_back(job, d_o, ends[0])?, ends[1]], self.cut.cuts.entering());
        let fits = |shape: &Shape| job.roomy && self.gradients && job.problem.size(Dim::V) <= shape.slice;
        if let Some(shape) = roles(job.target, job.scalar, self.width).filter(fits) {
            return self.fused(job, d_o, ends, shape);
        }
        if !self.gradients {
            return self.state_gradients(job, d_o, [ends[0], Ptr::NULL, ends[1]], entering);
        }
        let d_states = self.workspace(job, "d_states")?;
        self.state_gradients(job, d_o, [ends[0], d_states, ends[1]], entering)?;
        self.chunks(job, d_o, d_states)
    }

    fn fused(&self, job: &mut Job<'_>, d_o: Ptr, [d_ht, d_h0]: [Ptr; 2], shape: Shape) -> Result<(), Error> {
        let [q, k, v, h0] = ["q", "k", "v", "h0"].map(|name| job.input(name));
        let ([d_q, d_k], [d_v, d_g]) = (self.d_keys, ["d_v", "d_g"].map(|name| job.output(name)));
        let ([g, g_gamma], Sums { cuts, .. }) = (self.decays, self.cut);
        let Layout { offsets, chunks, .. } = cuts.pieces.layout;
        let inputs = [q?, k?, v?, d_o, g, g_gamma, h0?, d_ht, self.states];
        let outputs = [d_q, d_k, d_v, d_g, d_h0, offsets, chunks];
        let args = Args::new(&[&inputs[..], &outputs, &cuts.tables(true)].concat());
        self.sweep(job, self.templates[0], shape, args, cuts.entering());
        Ok(())
    }

    fn chunks(&self, job: &mut Job<'_>, d_o: Ptr, d_states: Ptr) -> Result<(), Error> {
        let [q, k, v] = ["q", "k", "v"].map(|name| job.input(name));
        let ([d_q, d_k], [d_v, d_g]) = (self.d_keys, ["d_v", "d_g"].map(|name| job.output(name)));
        let ([g, g_gamma], Layout { offsets, chunks, sequence_of_chunk, total }) =
            (self.decays, self.cut.cuts.pieces.layout);
        let inputs = [q?, k?, v?, d_o, g, g_gamma, self.states, d_states];
        let outputs = [d_q, d_k, d_v, d_g, offsets, chunks, sequence_of_chunk];
        let shape = self.shapes.gradients;
        let args = Self::tail(job, Args::new(&[&inputs[..], &outputs].concat()), shape).float(self.scale);
        let kernel = job.kernel(SOURCE, self.templates[1], shape, self.width);
        job.launch(kernel, total * job.problem.size(Dim::H), args);
        Ok(())
    }
}
