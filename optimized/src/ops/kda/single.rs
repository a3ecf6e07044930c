//! Both passes of `kda` in a kernel each, the first of which keeps what the second needs.

use reference::spec::Dim;

use super::{Common, Local, Pass};
use crate::args::Ptr;
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::ops::maps::Maps;
use crate::ops::prologue::Prologue;
use crate::ops::windows::OF_NOBODY;
use crate::shapes::Shape;
use crate::shapes::kda::backward;

/// The shape of both, where they serve.
pub(super) fn shape(job: &Job<'_>, width: usize) -> Option<Shape> {
    backward(job.target, job.scalar, width).filter(|shape| job.roomy && job.problem.size(Dim::V) <= shape.slice)
}

impl Common {
    pub(super) fn single(&self, job: &mut Job<'_>, shape: Shape) -> Result<(), Error> {
        let [hv, v] = [Dim::HV, Dim::V].map(|d| job.problem.size(d));
        let cut = self.cut(job, shape)?;
        let chunks = cut.cuts.pieces.layout.total * hv;
        let (storage, square) = (job.storage(), chunks * shape.chunk * shape.chunk);
        let kept = [
            job.workspace("states", storage, chunks * v * self.width)?,
            job.workspace("w", storage, self.rows * hv * v)?,
            job.workspace("inverse", storage, square)?,
            job.workspace("scores", storage, square)?,
        ];
        let ends = [job.input("h0")?, job.output("o"), job.output("ht")];
        self.pass(job, &["KdaKept"], Pass { shape, cut: &cut, ends, kept, late: Ptr::NULL })?;
        let local = Local::new(self, job)?;
        let ends = [self.enter_back(job, shape, &cut, kept)?, job.output("d_h0")];
        let ([d_q, d_k], [partial_q, partial_k]) = (local.direct, local.partial);
        let outputs = [d_q, d_k, job.output("d_v"), partial_q, partial_k, local.d_g, local.d_beta];
        self.sweep_back(job, shape, &cut, kept, ends, outputs)?;
        local.finish(self, job)
    }

    /// The gradients that enter pieces from behind: those of the last states unless pieces are summed up.
    fn enter_back(
        &self,
        job: &mut Job<'_>,
        shape: Shape,
        cut: &Maps,
        [.., inverse, scores]: [Ptr; 4],
    ) -> Result<Ptr, Error> {
        let d_ht = job.input("d_ht")?;
        if !cut.cuts.summed {
            return Ok(d_ht);
        }
        let backs = cut.workspace(job, "backs")?;
        let kept = [Ptr::NULL, Ptr::NULL, inverse, scores];
        self.sweep_back(job, shape, cut, kept, [Ptr::NULL, backs], [Ptr::NULL; 7])?;
        cut.join(job, backs, d_ht, true);
        Ok(backs)
    }

    /// Without states, only what pieces make of no gradient behind them.
    fn sweep_back(
        &self,
        job: &mut Job<'_>,
        shape: Shape,
        cut: &Maps,
        kept: [Ptr; 4],
        [d_ht, d_h0]: [Ptr; 2],
        outputs: [Ptr; 7],
    ) -> Result<(), Error> {
        let entering = if kept[0] == Ptr::NULL { OF_NOBODY } else { cut.cuts.entering() };
        let Prologue { q, k, g, beta, .. } = self.given;
        let Layout { offsets, chunks, .. } = cut.cuts.pieces.layout;
        let inputs = [&[q, k, job.input("d_o")?][..], &kept, &[g, beta, d_ht]].concat();
        let pointers = [&inputs[..], &outputs, &[d_h0, offsets, chunks], &cut.cuts.tables(true)].concat();
        let args = Self::extents(job, &pointers).ints(&[entering]).float(self.scale);
        let blocks = cut.cuts.pieces.count * job.problem.size(Dim::HV);
        job.launch(self.kernel(job, "KdaBackward", shape), blocks, args);
        Ok(())
    }
}
