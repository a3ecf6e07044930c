//! Launches of `kernels/scan/hgrn.cu`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::shapes::Kernel;
use crate::shapes::hgrn::HGRN;

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let (n, d) = (job.problem.size(Dim::N), job.problem.size(Dim::D));
    let layout = job.layout(HGRN.chunk)?;
    let blocks = n * d.div_ceil(HGRN.width);
    // what the forward pass leaves behind for the gradient of the gate
    let states = if job.wants("d_g") { job.workspace("states", DType::F32, layout.total * d)? } else { Ptr::NULL };
    let args = args(job, &layout, states)?;
    if job.wants_any(&["o", "ht", "d_g"]) {
        job.launch(kernel(job, "HgrnForward"), blocks, args.clone());
    }
    if job.wants_any(&["d_x", "d_g", "d_h0"]) {
        job.launch(kernel(job, "HgrnBackward"), blocks, args);
    }
    Ok(())
}

fn kernel(job: &Job<'_>, template: &'static str) -> Kernel {
    Kernel { template, scalar: job.scalar, ..HGRN }
}

fn args(job: &mut Job<'_>, layout: &Layout, states: Ptr) -> Result<Args, Error> {
    let d = job.problem.size(Dim::D);
    let (x, g, h0) = (job.input("x")?, job.input("g")?, job.input("h0")?);
    let (d_o, d_ht) = (job.input("d_o")?, job.input("d_ht")?);
    let [o, d_x, d_g, ht, d_h0] = ["o", "d_x", "d_g", "ht", "d_h0"].map(|name| job.output(name));
    let pointers = [x, g, d_o, h0, d_ht, o, d_x, d_g, ht, d_h0, states, layout.offsets, layout.chunks];
    Ok(Args::new(&pointers).ints(&[d, d.div_ceil(HGRN.width)]))
}
