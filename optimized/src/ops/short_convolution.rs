//! Launches of `kernels/rows/short_convolution.cu`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::shapes::short_convolution::{CHUNK, COLUMNS, SUMMED, TAPS, THREADS, chunk, kernel, shape};

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let [n, d, w] = [Dim::N, Dim::D, Dim::W].map(|dim| job.problem.size(dim));
    let rows = job.problem.size(Dim::B) * job.problem.size(Dim::T);
    let (long, scalar) = (w > TAPS, job.scalar);
    let (chunk, taps) = if long { (CHUNK, w) } else { (chunk(rows, d, scalar), TAPS) };
    let layout = job.layout(chunk)?;
    let shape = shape(scalar, chunk);
    let slices = d.div_ceil(COLUMNS * shape.slice);
    let partial = match job.wants_any(&["d_weight", "d_bias"]) {
        true => job.workspace("partial", DType::F32, layout.total * (taps + 1) * d)?,
        false => Ptr::NULL,
    };
    let [forward, backward] = match long {
        true => ["LongConvolutionForward", "LongConvolutionBackward"],
        false => ["ConvolutionForward", "ConvolutionBackward"],
    };
    let gradients = ["d_x", "d_residual", "d_weight", "d_bias"];
    let (ends, sums) = (n * d.div_ceil(THREADS), (taps + 1) * d.div_ceil(SUMMED));
    let launches: [(&[&str], _, _); 5] = [
        (&["o"], forward, layout.total * slices),
        (&["xt"], "ConvolutionTail", ends),
        (&gradients, backward, layout.total * slices),
        (&["d_x0"], "ConvolutionHead", ends),
        (&["d_weight", "d_bias"], "ConvolutionSums", sums),
    ];
    let args = args(job, &layout, slices, partial)?;
    for (wanted, template, blocks) in launches {
        if job.wants_any(wanted) {
            job.launch(kernel(template, scalar, shape), blocks, args.clone());
        }
    }
    Ok(())
}

fn args(job: &mut Job<'_>, layout: &Layout, slices: usize, partial: Ptr) -> Result<Args, Error> {
    let mut pointers = Vec::new();
    for name in ["x", "weight", "bias", "residual", "x0", "d_o", "d_xt"] {
        pointers.push(job.input(name)?);
    }
    let outputs = ["o", "xt", "d_x", "d_residual", "d_x0", "d_weight", "d_bias"];
    pointers.extend(outputs.iter().map(|name| job.output(name)));
    pointers.extend([partial, layout.offsets, layout.chunks, layout.sequence_of_chunk]);
    let [d, w] = [Dim::D, Dim::W].map(|dim| job.problem.size(dim));
    let swish = usize::from(job.problem.flag("swish"));
    Ok(Args::new(&pointers).long(layout.total).ints(&[d, w, slices, swish]))
}
