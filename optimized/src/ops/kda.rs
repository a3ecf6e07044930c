//! Launches of `kernels/delta/kda.cu`, and of the prologues around it.

mod single;

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::ops::maps::Maps;
use crate::ops::prologue::{Prologue, sum_groups};
use crate::ops::step;
use crate::ops::windows::{Cuts, Gates, OF_NOBODY};
use crate::shapes::kda::{SOURCE, Shapes, fused, shapes, widest};
use crate::shapes::step::KDA;
use crate::shapes::{Kernel, Scalar, Shape, maps, prologue, windows};

/// The sources of all that is launched here.
pub(super) const SOURCES: &[&str] = &[SOURCE, maps::SOURCE, prologue::SOURCE, KDA.source, windows::SOURCE];

/// What every launch needs.
struct Common {
    shapes: Shapes,
    width: usize,
    scale: f32,
    layout: Layout,
    /// Rows of tokens.
    rows: usize,
    /// Inputs as the recurrence uses them.
    given: Prologue,
    prepared: Prepared,
}

/// What the first kernel leaves to the sweeps.
#[derive(Clone, Copy)]
struct Prepared {
    read_q: Ptr,
    read_k: Ptr,
    written_k: Ptr,
    whole: Ptr,
    inverse: Ptr,
    scores: Ptr,
}

/// A forward pass over pieces of sequences.
#[derive(Clone, Copy)]
struct Pass<'a> {
    shape: Shape,
    cut: &'a Maps,
    /// h0, o, ht.
    ends: [Ptr; 3],
    /// States, w, inverses and scores for the gradients, or null.
    kept: [Ptr; 4],
    /// A mark for each block, whether it met late channels, or null.
    late: Ptr,
}

/// What pieces of sequences do to states.
const PIECES: &str = "KdaPieces";

/// Gradients that need the chunk-parallel kernel.
const LOCAL: [&str; 6] = ["d_q", "d_k", "d_g", "d_beta", "d_A_log", "d_dt_bias"];

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    if job.is_step() {
        return step::lay_out(job, KDA, Ptr::NULL);
    }
    let k = job.problem.size(Dim::K);
    let width = job.width(k)?;
    let Some(shapes) = shapes(job.target, job.scalar, width) else {
        return Err(Error::Declined(format!("K = {k} is more than {}, the most on this device", widest(job.target))));
    };
    let layout = job.layout(shapes.most.chunk)?;
    let rows = job.problem.size(Dim::B) * job.problem.size(Dim::T);
    let given = Prologue::forward(job, rows, width)?;
    let scale = job.problem.number("scale").unwrap_or_else(|| (k as f64).powf(-0.5)) as f32;
    let fused = fused(job.target, job.scalar, width);
    let forward = job.wants_any(&["o", "ht"]);
    let backward = job.wants_any(&LOCAL) || job.wants_any(&["d_v", "d_h0"]);
    let mut common = Common { shapes, width, scale, layout, rows, given, prepared: Prepared::NONE };
    if let Some(shape) = single::shape(job, width).filter(|_| backward) {
        return common.single(job, shape);
    }
    if backward || (forward && fused.is_none()) {
        common.prepare(job)?;
    }
    match fused.filter(|_| forward) {
        Some(shape) => common.fused(job, shape)?,
        None if forward => common.forward(job)?,
        None => {}
    }
    if backward {
        common.backward(job)?;
    }
    Ok(())
}

impl Prepared {
    const NONE: Self = Self {
        read_q: Ptr::NULL,
        read_k: Ptr::NULL,
        written_k: Ptr::NULL,
        whole: Ptr::NULL,
        inverse: Ptr::NULL,
        scores: Ptr::NULL,
    };

    fn allocate(job: &mut Job<'_>, rows: usize, width: usize, chunk: usize, chunks: usize) -> Result<Self, Error> {
        let [hv, k] = [Dim::HV, Dim::K].map(|d| job.problem.size(d));
        let (storage, keys, square) = (job.storage(), rows * hv * k, chunks * hv * chunk * chunk);
        Ok(Self {
            read_q: job.workspace("read_q", storage, keys)?,
            read_k: job.workspace("read_k", storage, keys)?,
            written_k: job.workspace("written_k", storage, keys)?,
            whole: job.workspace("whole", DType::F32, chunks * hv * width)?,
            inverse: job.workspace("inverse", storage, square)?,
            scores: job.workspace("scores", storage, square)?,
        })
    }
}

impl Common {
    fn kernel(&self, job: &Job<'_>, template: &'static str, shape: Shape) -> Kernel {
        job.kernel(SOURCE, template, shape, self.width)
    }

    /// HV, K, V, scale: the tail of the sweeps' arguments.
    fn tail(&self, job: &Job<'_>, pointers: &[Ptr]) -> Args {
        Args::new(pointers).ints(&[Dim::HV, Dim::K, Dim::V].map(|d| job.problem.size(d))).float(self.scale)
    }

    /// H, HV, K, V, scale: the tail of the arguments of what reads keys and queries as they are.
    fn sizes(&self, job: &Job<'_>, pointers: &[Ptr]) -> Args {
        Self::extents(job, pointers).float(self.scale)
    }

    fn extents(job: &Job<'_>, pointers: &[Ptr]) -> Args {
        Args::new(pointers).ints(&[Dim::H, Dim::HV, Dim::K, Dim::V].map(|d| job.problem.size(d)))
    }

    /// One block for each sequence, value head and slice of V.
    fn sweeps(job: &Job<'_>, shape: Shape) -> usize {
        let [n, hv, v] = [Dim::N, Dim::HV, Dim::V].map(|d| job.problem.size(d));
        n * hv * v.div_ceil(shape.slice)
    }

    /// One block for each chunk and value head.
    fn chunks(&self, job: &Job<'_>) -> usize {
        self.layout.total * job.problem.size(Dim::HV)
    }

    fn prepare(&mut self, job: &mut Job<'_>) -> Result<(), Error> {
        self.prepared = Prepared::allocate(job, self.rows, self.width, self.shapes.most.chunk, self.layout.total)?;
        let Layout { offsets, chunks, sequence_of_chunk, .. } = self.layout;
        let (Prologue { q, k, g, beta, .. }, made) = (&self.given, &self.prepared);
        let inputs = [*q, *k, *g, *beta];
        let outputs = [made.read_q, made.read_k, made.written_k, made.whole, made.inverse, made.scores];
        let pointers = [&inputs[..], &outputs, &[offsets, chunks, sequence_of_chunk]].concat();
        let sizes = [Dim::H, Dim::HV, Dim::K].map(|d| job.problem.size(d));
        let args = Args::new(&pointers).ints(&sizes).float(self.scale);
        job.launch(self.kernel(job, "KdaPrepare", self.shapes.most), self.chunks(job), args);
        Ok(())
    }

    fn fused(&self, job: &mut Job<'_>, shape: Shape) -> Result<(), Error> {
        let [hv, v] = [Dim::HV, Dim::V].map(|d| job.problem.size(d));
        let o = job.output_or_workspace("o", job.storage(), self.rows * hv * v)?;
        let cut = self.cut(job, shape)?;
        let late = cut.cuts.marks(job, "late", hv * v.div_ceil(shape.slice))?;
        let ends = [job.input("h0")?, o, job.output("ht")];
        self.pass(job, &["KdaFused", "KdaFusedLate"], Pass { shape, cut: &cut, ends, kept: [Ptr::NULL; 4], late })
    }

    /// Sequences cut into pieces for kernels of one block to a sequence, head and slice.
    fn cut(&self, job: &mut Job<'_>, shape: Shape) -> Result<Maps, Error> {
        let heads = [job.problem.size(Dim::HV), job.problem.size(Dim::V).div_ceil(shape.slice)];
        let cuts = Cuts::new(job, shape.chunk, heads, self.width, Gates::of_channels(self.given.g, Scalar::F32))?;
        self.prove(job, shape, &cuts)?;
        Maps::new(job, cuts, self.width)
    }

    /// Gates by channel say what a window leaves of a channel, but keys carry from one channel to another: what is left
    /// of a map is asked of the map itself.
    fn prove(&self, job: &mut Job<'_>, shape: Shape, cuts: &Cuts) -> Result<(), Error> {
        let Some((windows, directions)) = cuts.windows(job) else { return Ok(()) };
        let [h, hv, k, v] = [Dim::H, Dim::HV, Dim::K, Dim::V].map(|d| job.problem.size(d));
        let Prologue { q, k: keys, g, beta, .. } = self.given;
        let (Layout { offsets, chunks, .. }, pieces, values) = (cuts.pieces.layout, cuts.pieces.count, job.input("v")?);
        let inputs = [q, keys, values, g, beta];
        let tables = [offsets, chunks, Ptr::NULL, Ptr::NULL, windows, windows, Ptr::NULL];
        let args = Args::new(&[&inputs[..], &[Ptr::NULL; 8], &tables].concat())
            .ints(&[h, hv, k, v, OF_NOBODY, pieces])
            .float(self.scale);
        job.launch(self.kernel(job, PIECES, shape), directions * pieces * hv, args);
        Ok(())
    }

    /// The forward pass in one kernel, and what its blocks leave to a second.
    fn pass(&self, job: &mut Job<'_>, templates: &[&'static str], mut pass: Pass<'_>) -> Result<(), Error> {
        let Pass { cut, ends: [h0, ..], .. } = pass;
        if cut.cuts.summed {
            let starts = cut.workspace(job, "starts")?;
            let sums = Pass { ends: [h0, Ptr::NULL, starts], kept: [Ptr::NULL; 4], late: Ptr::NULL, ..pass };
            self.launch_pass(job, PIECES, &sums)?;
            cut.join(job, starts, h0, false);
            pass.ends[0] = starts;
        }
        templates.iter().try_for_each(|template| self.launch_pass(job, template, &pass))
    }

    fn launch_pass(&self, job: &mut Job<'_>, template: &'static str, pass: &Pass<'_>) -> Result<(), Error> {
        let [h, hv, k, v] = [Dim::H, Dim::HV, Dim::K, Dim::V].map(|d| job.problem.size(d));
        let (values, behind) = (job.input("v")?, job.input("d_ht")? != Ptr::NULL);
        let Prologue { q, k: keys, g, beta, .. } = self.given;
        let Pass { shape, cut, .. } = *pass;
        let inputs = [q, keys, values, g, beta];
        let pointers = [&inputs[..], &pass.ends, &pass.kept, &cut.pointers(), &[pass.late]].concat();
        let entering = if template == PIECES { OF_NOBODY } else { cut.cuts.entering() };
        let args = Args::new(&pointers).ints(&[h, hv, k, v, entering, behind.into()]).float(self.scale);
        // one block more for the map of each piece and head
        let slices = v.div_ceil(shape.slice) + usize::from(template == PIECES);
        job.launch(self.kernel(job, template, shape), cut.cuts.pieces.count * hv * slices, args);
        Ok(())
    }

    fn forward(&self, job: &mut Job<'_>) -> Result<(), Error> {
        let [hv, v] = [Dim::HV, Dim::V].map(|d| job.problem.size(d));
        let o = job.output_or_workspace("o", job.storage(), self.rows * hv * v)?;
        let ht = job.output("ht");
        self.sweep(job, "KdaForward", [o, ht, Ptr::NULL, Ptr::NULL])
    }

    fn sweep(&self, job: &mut Job<'_>, template: &'static str, outputs: [Ptr; 4]) -> Result<(), Error> {
        let (v, h0, made) = (job.input("v")?, job.input("h0")?, &self.prepared);
        let keys = [made.read_q, made.read_k, made.written_k];
        let rest = [v, self.given.beta, made.whole, h0, made.inverse, made.scores];
        let pointers = [&keys[..], &rest, &outputs, &[self.layout.offsets, self.layout.chunks]].concat();
        let args = self.tail(job, &pointers);
        job.launch(self.kernel(job, template, self.shapes.most), Self::sweeps(job, self.shapes.most), args);
        Ok(())
    }

    fn backward(&self, job: &mut Job<'_>) -> Result<(), Error> {
        let [hv, v] = [Dim::HV, Dim::V].map(|d| job.problem.size(d));
        let (local, storage) = (job.wants_any(&LOCAL), job.storage());
        let state = self.layout.total * hv * v * self.width;
        let (mut states, mut w, mut d_states) = (Ptr::NULL, Ptr::NULL, Ptr::NULL);
        if local {
            states = job.workspace("states", storage, state)?;
            d_states = job.workspace("d_states", storage, state)?;
            w = job.workspace("w", storage, self.rows * hv * v)?;
            self.sweep(job, "KdaStates", [Ptr::NULL, Ptr::NULL, states, w])?;
        }
        let d_v = job.output_or_workspace("d_v", storage, self.rows * hv * v)?;
        let (d_o, d_ht, d_h0, made) = (job.input("d_o")?, job.input("d_ht")?, job.output("d_h0"), &self.prepared);
        let keys = [made.read_q, made.read_k, made.written_k, d_o];
        let rest = [self.given.beta, made.whole, d_ht, made.inverse, made.scores, d_v, d_states, d_h0];
        let pointers = [&keys[..], &rest, &[self.layout.offsets, self.layout.chunks]].concat();
        let args = self.tail(job, &pointers);
        job.launch(self.kernel(job, "KdaReverse", self.shapes.most), Self::sweeps(job, self.shapes.most), args);
        if local {
            self.gradient(job, [w, d_v, states, d_states])?;
        }
        Ok(())
    }

    fn gradient(&self, job: &mut Job<'_>, saved: [Ptr; 4]) -> Result<(), Error> {
        let local = Local::new(self, job)?;
        let Layout { offsets, chunks, sequence_of_chunk, .. } = self.layout;
        let Prologue { q, k, g, beta, .. } = self.given;
        let [d_q, d_k] = local.direct;
        let [partial_q, partial_k] = local.partial;
        let outputs = [d_q, d_k, partial_q, partial_k, local.d_g, local.d_beta];
        let inputs = [&[q, k, job.input("d_o")?][..], &saved, &[g, beta]].concat();
        let pointers = [&inputs[..], &outputs, &[offsets, chunks, sequence_of_chunk]].concat();
        let args = self.sizes(job, &pointers);
        job.launch(self.kernel(job, "KdaGradient", self.shapes.gradient), self.chunks(job), args);
        local.finish(self, job)
    }
}

/// Where the gradients go that all value heads of a key head, or the prologue, have a part in.
struct Local {
    wanted: [Ptr; 2],
    /// d_q and d_k, where there is one value head to a key head.
    direct: [Ptr; 2],
    /// For each value head, where there are several.
    partial: [Ptr; 2],
    d_g: Ptr,
    d_beta: Ptr,
}

impl Local {
    fn new(common: &Common, job: &mut Job<'_>) -> Result<Self, Error> {
        let [h, hv, k] = [Dim::H, Dim::HV, Dim::K].map(|d| job.problem.size(d));
        let [d_q, d_k, d_g, d_beta] = Prologue::gradients(job, common.rows)?;
        let wanted = [d_q, d_k];
        if hv == h {
            return Ok(Self { wanted, direct: wanted, partial: [Ptr::NULL; 2], d_g, d_beta });
        }
        let mut partial = |name, wanted: Ptr| match wanted != Ptr::NULL {
            true => job.workspace(name, DType::F32, common.rows * hv * k),
            false => Ok(Ptr::NULL),
        };
        let partial = [partial("partial_q", d_q)?, partial("partial_k", d_k)?];
        Ok(Self { wanted, direct: [Ptr::NULL; 2], partial, d_g, d_beta })
    }

    fn finish(&self, common: &Common, job: &mut Job<'_>) -> Result<(), Error> {
        for (&partial, sum) in self.partial.iter().zip(self.wanted) {
            if partial != Ptr::NULL {
                sum_groups(job, common.rows, common.width, [partial, sum]);
            }
        }
        let [d_q, d_k] = self.wanted;
        common.given.backward(job, common.rows, common.width, [d_q, d_k, self.d_g, self.d_beta])
    }
}
