//! Both passes of `kda` in a kernel each, the first of which keeps what the second needs.

use reference::spec::Dim;

use super::{Common, Local};
use crate::args::Ptr;
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::ops::prologue::Prologue;
use crate::shapes::Shape;
use crate::shapes::kda::backward;

/// The shape of both, where they serve.
pub(super) fn shape(job: &Job<'_>, width: usize) -> Option<Shape> {
    backward(job.target, job.scalar, width).filter(|shape| job.roomy && job.problem.size(Dim::V) <= shape.slice)
}

impl Common {
    pub(super) fn single(&self, job: &mut Job<'_>, shape: Shape) -> Result<(), Error> {
        let [hv, v] = [Dim::HV, Dim::V].map(|d| job.problem.size(d));
        let (storage, square) = (job.storage(), self.chunks(job) * shape.chunk * shape.chunk);
        let kept = [
            job.workspace("states", storage, self.chunks(job) * v * self.width)?,
            job.workspace("w", storage, self.rows * hv * v)?,
            job.workspace("inverse", storage, square)?,
            job.workspace("scores", storage, square)?,
        ];
        self.pass(job, "KdaKept", shape, job.output("o"), kept)?;
        let local = Local::new(self, job)?;
        let Prologue { q, k, g, beta, .. } = self.given;
        let Layout { offsets, chunks, .. } = self.layout;
        let ([d_q, d_k], [partial_q, partial_k]) = (local.direct, local.partial);
        let inputs = [&[q, k, job.input("d_o")?][..], &kept, &[g, beta, job.input("d_ht")?]].concat();
        let outputs = [d_q, d_k, job.output("d_v"), partial_q, partial_k, local.d_g, local.d_beta, job.output("d_h0")];
        let pointers: Vec<Ptr> = [&inputs[..], &outputs, &[offsets, chunks]].concat();
        let args = self.sizes(job, &pointers);
        job.launch(self.kernel(job, "KdaBackward", shape), Self::sweeps(job, shape), args);
        local.finish(self, job)
    }
}
