//! Launches of `kernels/rows/short_convolution.cu`.

use reference::spec::Dim;
use reference::tensor::DType;

use crate::args::{Args, Ptr};
use crate::engine::{Job, Layout};
use crate::error::Error;
use crate::shapes::short_convolution::{CHUNK, COLUMNS, SOURCE, SUMMED, TAPS, THREADS, shapes};

pub(super) fn lay_out(job: &mut Job<'_>) -> Result<(), Error> {
    let [n, d, w] = [Dim::N, Dim::D, Dim::W].map(|dim| job.problem.size(dim));
    let layout = job.layout(CHUNK)?;
    let [forward, backward] = shapes(job.scalar);
    let long = w > TAPS;
    let ends = n * d.div_ceil(THREADS);
    let taps = if long { w } else { TAPS };
    let partial = match job.wants_any(&["d_weight", "d_bias"]) {
        true => job.workspace("partial", DType::F32, layout.total * (taps + 1) * d)?,
        false => Ptr::NULL,
    };
    let forward_name = if long { "LongConvolutionForward" } else { "ConvolutionForward" };
    let backward_name = if long { "LongConvolutionBackward" } else { "ConvolutionBackward" };
    let gradients = ["d_x", "d_residual", "d_weight", "d_bias"];
    let launches: [(&[&str], _, _, Option<usize>); 5] = [
        (&["o"], forward_name, forward, None),
        (&["xt"], "ConvolutionTail", forward, Some(ends)),
        (&gradients, backward_name, backward, None),
        (&["d_x0"], "ConvolutionHead", backward, Some(ends)),
        (&["d_weight", "d_bias"], "ConvolutionSums", backward, Some((taps + 1) * d.div_ceil(SUMMED))),
    ];
    for (wanted, template, shape, blocks) in launches {
        if job.wants_any(wanted) {
            let slices = d.div_ceil(COLUMNS * shape.slice);
            let args = args(job, &layout, slices, partial)?;
            let kernel = job.kernel(SOURCE, template, shape, TAPS);
            job.launch(kernel, blocks.unwrap_or(layout.total * slices), args);
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
