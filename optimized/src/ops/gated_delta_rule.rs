//! Launches of `kernels/delta/gated_delta_rule.cu`, and of the prologues around it. `delta_rule` is the same without
//! gates.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::ops::maps::Maps;
use crate::ops::prologue::{Prologue, sum_groups, value_heads};
use crate::ops::step;
use crate::ops::windows::{Cuts, Gates, OF_NOBODY};
use crate::shapes::gated_delta_rule::{SOURCE, Shapes, backward, fused, shapes};
use crate::shapes::step::GATED_DELTA;
use crate::shapes::{Kernel, Shape, maps, prologue, windows};

/// The sources of all that is launched here.
pub(super) const SOURCES: &[&str] = &[SOURCE, maps::SOURCE, prologue::SOURCE, GATED_DELTA.source, windows::SOURCE];

/// What every launch needs.
struct Common {
    shapes: Shapes,
    width: usize,
    scale: f32,
    cut: Maps,
    layout: Layout,
    /// Rows of tokens.
    rows: usize,
    /// Inputs as the recurrence uses them.
    q: Ptr,
    k: Ptr,
    g: Ptr,
    beta: Ptr,
    inverse: Ptr,
    scores: Ptr,
}

/// What pieces of sequences do to states.
const PIECES: &str = "GatedDeltaPieces";

/// Gradients that need the chunk-parallel kernel.
const LOCAL: [&str; 6] = ["d_q", "d_k", "d_g", "d_beta", "d_A_log", "d_dt_bias"];

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    if job.is_step() {
        return step::lay_out(job, GATED_DELTA, Ptr::NULL);
    }
    let k = job.problem.size(Dim::K);
    let width = job.width(k)?;
    let shapes = shapes(job.target, job.scalar, width);
    let rows = job.problem.size(Dim::B) * job.problem.size(Dim::T);
    let prologue = Prologue::forward(job, rows, width)?;
    let scale = job.problem.number("scale").unwrap_or_else(|| (k as f64).powf(-0.5)) as f32;
    let fused = fused(job.target, job.scalar, width);
    let forward = job.wants_any(&["o", "ht"]);
    let gradients = job.wants_any(&LOCAL) || job.wants_any(&["d_v", "d_h0"]);
    let Prologue { q, k, g, beta, .. } = prologue;
    let fits = |shape: &Shape| gradients && job.roomy && job.problem.size(Dim::V) <= shape.slice;
    let single = backward(job.target, job.scalar, width).filter(fits);
    let may = single.is_some() || (fused.is_some() && !gradients);
    let slices = fused.map_or(1, |shape| job.problem.size(Dim::V).div_ceil(shape.slice));
    let (chunk, gates) = (shapes.most.chunk, Gates::of_heads(g, ([k, beta], job.scalar)));
    let heads = [value_heads(job), slices];
    let cuts = if may { Cuts::new(job, chunk, heads, width, gates)? } else { Cuts::none(job, chunk)? };
    let cut = Maps::new(job, cuts, width)?;
    let (layout, inverse, scores) = (cuts.pieces.layout, Ptr::NULL, Ptr::NULL);
    let mut common = Common { shapes, width, scale, cut, layout, rows, q, k, g, beta, inverse, scores };
    if let (Some(forward), Some(backward)) = (fused, single) {
        let kept = common.kept(job, forward)?;
        return common.single(job, backward, &prologue, kept);
    }
    if gradients || (forward && fused.is_none()) {
        common.prepare(job)?;
    }
    match fused.filter(|_| forward) {
        Some(shape) => common.fused(job, shape)?,
        None if forward => common.forward(job)?,
        None => {}
    }
    if gradients {
        common.backward(job, &prologue)?;
    }
    Ok(())
}

impl Common {
    fn kernel(&self, job: &Job<'_>, template: &'static str, shape: Shape) -> Kernel {
        job.kernel(SOURCE, template, shape, self.width)
    }

    /// H, HV, K, V, scale: the tail of most argument structs.
    fn tail(&self, job: &Job<'_>, pointers: &[Ptr]) -> Args {
        Self::sizes(job, pointers).float(self.scale)
    }

    fn sizes(job: &Job<'_>, pointers: &[Ptr]) -> Args {
        let [h, k, v] = [Dim::H, Dim::K, Dim::V].map(|d| job.problem.size(d));
        Args::new(pointers).ints(&[h, value_heads(job), k, v])
    }

    /// One block for each piece of a sequence, value head and slice of V.
    fn sweeps(&self, job: &Job<'_>, shape: Shape) -> usize {
        self.cut.cuts.pieces.count * value_heads(job) * job.problem.size(Dim::V).div_ceil(shape.slice)
    }

    /// One block for each chunk and value head.
    fn chunks(&self, job: &Job<'_>) -> usize {
        self.layout.total * value_heads(job)
    }

    fn prepare(&mut self, job: &mut Job<'_>) -> Result<(), Error> {
        let square = self.chunks(job) * self.shapes.most.chunk * self.shapes.most.chunk;
        self.inverse = job.workspace("inverse", job.storage(), square)?;
        self.scores = job.workspace("scores", job.storage(), square)?;
        let Layout { offsets, chunks, sequence_of_chunk, .. } = self.layout;
        let pointers =
            [self.q, self.k, self.g, self.beta, self.inverse, self.scores, offsets, chunks, sequence_of_chunk];
        let sizes = [job.problem.size(Dim::H), value_heads(job), job.problem.size(Dim::K)];
        let args = Args::new(&pointers).ints(&sizes).float(self.scale);
        job.launch(self.kernel(job, "GatedDeltaPrepare", self.shapes.most), self.chunks(job), args);
        Ok(())
    }

    fn fused(&self, job: &mut Job<'_>, shape: Shape) -> Result<(), Error> {
        let (hv, v) = (value_heads(job), job.problem.size(Dim::V));
        let o = job.output_or_workspace("o", job.storage(), self.rows * hv * v)?;
        self.pass(job, "GatedDeltaFused", shape, o, [Ptr::NULL; 4])
    }

    /// The forward pass, and what it keeps for the gradients: states, w, inverses, scores.
    fn kept(&self, job: &mut Job<'_>, shape: Shape) -> Result<[Ptr; 4], Error> {
        let (hv, v, storage) = (value_heads(job), job.problem.size(Dim::V), job.storage());
        let square = self.chunks(job) * self.shapes.most.chunk * shape.chunk;
        let kept = [
            job.workspace("states", storage, self.chunks(job) * v * self.width)?,
            job.workspace("w", storage, self.rows * hv * v)?,
            job.workspace("inverse", storage, square)?,
            job.workspace("scores", storage, square)?,
        ];
        self.pass(job, "GatedDeltaKept", shape, job.output("o"), kept)?;
        Ok(kept)
    }

    fn pass(
        &self,
        job: &mut Job<'_>,
        template: &'static str,
        shape: Shape,
        o: Ptr,
        kept: [Ptr; 4],
    ) -> Result<(), Error> {
        let h0 = self.enter(job, shape)?;
        let ht = job.output("ht");
        self.launch_pass(job, template, shape, [h0, o, ht], kept)
    }

    fn launch_pass(
        &self,
        job: &mut Job<'_>,
        template: &'static str,
        shape: Shape,
        [h0, o, ht]: [Ptr; 3],
        kept: [Ptr; 4],
    ) -> Result<(), Error> {
        let entering = if template == PIECES { OF_NOBODY } else { self.cut.cuts.entering() };
        let (v, behind) = (job.input("v")?, job.input("d_ht")? != Ptr::NULL);
        let inputs = [self.q, self.k, v, self.g, self.beta, h0];
        let outputs = [&[o, ht][..], &kept, &self.cut.pointers()].concat();
        let sizes = [job.problem.size(Dim::H), value_heads(job), job.problem.size(Dim::K), job.problem.size(Dim::V)];
        let args = Args::new(&[&inputs[..], &outputs].concat()).ints(&sizes).ints(&[entering, behind.into()]);
        let args = args.float(self.scale);
        // one block more for the map of each piece and head
        let maps = if template == PIECES { self.cut.cuts.pieces.count * value_heads(job) } else { 0 };
        job.launch(self.kernel(job, template, shape), self.sweeps(job, shape) + maps, args);
        Ok(())
    }

    /// The states that enter pieces: those of sequences unless pieces are summed up.
    fn enter(&self, job: &mut Job<'_>, shape: Shape) -> Result<Ptr, Error> {
        let h0 = job.input("h0")?;
        if !self.cut.cuts.summed {
            return Ok(h0);
        }
        let starts = self.cut.workspace(job, "starts")?;
        self.launch_pass(job, PIECES, shape, [h0, Ptr::NULL, starts], [Ptr::NULL; 4])?;
        self.cut.join(job, starts, h0, false);
        Ok(starts)
    }

    /// All gradients in one kernel.
    fn single(&self, job: &mut Job<'_>, shape: Shape, prologue: &Prologue, kept: [Ptr; 4]) -> Result<(), Error> {
        let keys = Keys::new(self, job)?;
        let ends = [self.enter_back(job, shape, kept)?, job.output("d_h0")];
        let [d_q, d_k, partial_q, partial_k] = keys.pointers();
        let outputs = [d_q, d_k, job.output("d_v"), partial_q, partial_k, keys.d_g, keys.d_beta];
        self.sweep_back(job, shape, kept, ends, outputs)?;
        keys.finish(self, job, prologue)
    }

    /// The gradients that enter pieces from behind: those of the last states unless pieces are summed up.
    fn enter_back(&self, job: &mut Job<'_>, shape: Shape, [.., inverse, scores]: [Ptr; 4]) -> Result<Ptr, Error> {
        let d_ht = job.input("d_ht")?;
        if !self.cut.cuts.summed {
            return Ok(d_ht);
        }
        let backs = self.cut.workspace(job, "backs")?;
        let (kept, ends) = ([Ptr::NULL, Ptr::NULL, inverse, scores], [Ptr::NULL, backs]);
        self.sweep_back(job, shape, kept, ends, [Ptr::NULL; 7])?;
        self.cut.join(job, backs, d_ht, true);
        Ok(backs)
    }

    /// Without states, only what pieces make of no gradient behind them.
    fn sweep_back(
        &self,
        job: &mut Job<'_>,
        shape: Shape,
        [states, w, inverse, scores]: [Ptr; 4],
        [d_ht, d_h0]: [Ptr; 2],
        outputs: [Ptr; 7],
    ) -> Result<(), Error> {
        let entering = if states == Ptr::NULL { OF_NOBODY } else { self.cut.cuts.entering() };
        let Layout { offsets, chunks, .. } = self.layout;
        let inputs = [self.q, self.k, job.input("d_o")?, states, w, inverse, scores, self.g, self.beta, d_ht];
        let pointers = [&inputs[..], &outputs, &[d_h0, offsets, chunks], &self.cut.cuts.tables(true)].concat();
        let args = Self::sizes(job, &pointers).ints(&[entering]).float(self.scale);
        job.launch(self.kernel(job, "GatedDeltaBackward", shape), self.sweeps(job, shape), args);
        Ok(())
    }

    fn forward(&self, job: &mut Job<'_>) -> Result<(), Error> {
        let (hv, v) = (value_heads(job), job.problem.size(Dim::V));
        let o = job.output_or_workspace("o", job.storage(), self.rows * hv * v)?;
        let ht = job.output("ht");
        self.sweep(job, "GatedDeltaForward", [o, ht, Ptr::NULL, Ptr::NULL])
    }

    fn sweep(&self, job: &mut Job<'_>, template: &'static str, [o, ht, states, w]: [Ptr; 4]) -> Result<(), Error> {
        let (v, h0) = (job.input("v")?, job.input("h0")?);
        let Layout { offsets, chunks, .. } = self.layout;
        let pointers =
            [self.q, self.k, v, self.g, self.beta, h0, self.inverse, self.scores, o, ht, states, w, offsets, chunks];
        let args = self.tail(job, &pointers);
        job.launch(self.kernel(job, template, self.shapes.most), self.sweeps(job, self.shapes.most), args);
        Ok(())
    }

    fn backward(&self, job: &mut Job<'_>, prologue: &Prologue) -> Result<(), Error> {
        let (hv, v) = (value_heads(job), job.problem.size(Dim::V));
        let local = job.wants_any(&LOCAL);
        let storage = job.storage();
        let state = self.layout.total * hv * v * self.width;
        let (mut states, mut w, mut d_states) = (Ptr::NULL, Ptr::NULL, Ptr::NULL);
        if local {
            states = job.workspace("states", DType::F32, state)?;
            d_states = job.workspace("d_states", DType::F32, state)?;
            w = job.workspace("w", storage, self.rows * hv * v)?;
            self.sweep(job, "GatedDeltaStates", [Ptr::NULL, Ptr::NULL, states, w])?;
        }
        let d_v = job.output_or_workspace("d_v", storage, self.rows * hv * v)?;
        let (d_o, d_ht, d_h0) = (job.input("d_o")?, job.input("d_ht")?, job.output("d_h0"));
        let Layout { offsets, chunks, .. } = self.layout;
        let pointers = [
            self.q,
            self.k,
            d_o,
            self.g,
            self.beta,
            d_ht,
            self.inverse,
            self.scores,
            d_v,
            d_states,
            d_h0,
            offsets,
            chunks,
        ];
        let args = self.tail(job, &pointers);
        let shape = self.shapes.reverse;
        job.launch(self.kernel(job, "GatedDeltaReverse", shape), self.sweeps(job, shape), args);
        if local {
            self.gradient(job, prologue, [w, d_v, states, d_states])?;
        }
        Ok(())
    }

    fn gradient(&self, job: &mut Job<'_>, prologue: &Prologue, saved: [Ptr; 4]) -> Result<(), Error> {
        let keys = Keys::new(self, job)?;
        let [d_q, d_k, partial_q, partial_k] = keys.pointers();
        let [w, d_v, states, d_states] = saved;
        let Layout { offsets, chunks, sequence_of_chunk, .. } = self.layout;
        let pointers = [
            self.q,
            self.k,
            job.input("d_o")?,
            w,
            d_v,
            states,
            d_states,
            self.g,
            self.beta,
            d_q,
            d_k,
            partial_q,
            partial_k,
            keys.d_g,
            keys.d_beta,
            offsets,
            chunks,
            sequence_of_chunk,
        ];
        let args = self.tail(job, &pointers);
        job.launch(self.kernel(job, "GatedDeltaGradient", self.shapes.gradient), self.chunks(job), args);
        keys.finish(self, job, prologue)
    }
}

/// Where the gradients go that all value heads of a key head, or the prologue, have a part in.
struct Keys {
    d_q: Ptr,
    d_k: Ptr,
    d_g: Ptr,
    d_beta: Ptr,
    /// For each value head, where there are several to a key head.
    partial: Option<[Ptr; 2]>,
}

impl Keys {
    fn new(common: &Common, job: &mut Job<'_>) -> Result<Self, Error> {
        let [h, k] = [Dim::H, Dim::K].map(|d| job.problem.size(d));
        let hv = value_heads(job);
        let [d_q, d_k, d_g, d_beta] = Prologue::gradients(job, common.rows)?;
        let mut partial = |name, wanted: Ptr| match wanted != Ptr::NULL {
            true => job.workspace(name, DType::F32, common.rows * hv * k),
            false => Ok(Ptr::NULL),
        };
        let partial = if hv > h { Some([partial("partial_q", d_q)?, partial("partial_k", d_k)?]) } else { None };
        Ok(Self { d_q, d_k, d_g, d_beta, partial })
    }

    /// d_q, d_k, and what is written instead of them.
    fn pointers(&self) -> [Ptr; 4] {
        match self.partial {
            Some([q, k]) => [Ptr::NULL, Ptr::NULL, q, k],
            None => [self.d_q, self.d_k, Ptr::NULL, Ptr::NULL],
        }
    }

    fn finish(&self, common: &Common, job: &mut Job<'_>, prologue: &Prologue) -> Result<(), Error> {
        for (partial, sum) in self.partial.into_iter().flatten().zip([self.d_q, self.d_k]) {
            if partial != Ptr::NULL {
                sum_groups(job, common.rows, common.width, [partial, sum]);
            }
        }
        prologue.backward(job, common.rows, common.width, [self.d_q, self.d_k, self.d_g, self.d_beta])
    }
}
