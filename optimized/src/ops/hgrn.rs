//! Launches of `kernels/scan/hgrn.cu`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::shapes::{HGRN, Kernel};

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let (n, d) = (job.problem.size(Dim::N), job.problem.size(Dim::D));
    let rows = job.problem.size(Dim::B) * job.problem.size(Dim::T);
    let layout = job.layout(HGRN.chunk)?;
    let blocks = n * d.div_ceil(HGRN.width);
    if job.wants_any(&["o", "ht"]) {
        let o = job.output_or_workspace("o", job.storage(), rows * d)?;
        let args = args(job, &layout, o, Ptr::NULL)?;
        job.launch(kernel(job, "HgrnForward"), blocks, args);
    }
    if job.wants_any(&["d_x", "d_g", "d_h0"]) {
        let states = if job.wants("d_g") { job.workspace("states", DType::F32, layout.total * d)? } else { Ptr::NULL };
        let args = args(job, &layout, Ptr::NULL, states)?;
        if job.wants("d_g") {
            job.launch(kernel(job, "HgrnStates"), blocks, args.clone());
        }
        job.launch(kernel(job, "HgrnBackward"), blocks, args);
    }
    Ok(())
}

fn kernel(job: &Job<'_>, template: &'static str) -> Kernel {
    Kernel { template, scalar: job.scalar, ..HGRN }
}

fn args(job: &mut Job<'_>, layout: &Layout, o: Ptr, states: Ptr) -> Result<Args, Error> {
    let d = job.problem.size(Dim::D);
    let (x, g, h0) = (job.input("x")?, job.input("g")?, job.input("h0")?);
    let (d_o, d_ht) = (job.input("d_o")?, job.input("d_ht")?);
    let (d_x, d_g, ht, d_h0) = (job.output("d_x"), job.output("d_g"), job.output("ht"), job.output("d_h0"));
    let pointers = [x, g, d_o, h0, d_ht, o, d_x, d_g, ht, d_h0, states, layout.offsets, layout.chunks];
    Ok(Args::new(&pointers).ints(&[d, d.div_ceil(HGRN.width)]))
}
