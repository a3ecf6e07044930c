//! Shapes of `kernels/rows/short_convolution.cu`.

use super::{Kernel, Scalar, Shape, Target};

pub(crate) const SOURCE: &str = "rows/short_convolution.cu";

/// Taps that are kept in registers: the width of these kernels.
pub(crate) const TAPS: usize = 4;

/// Pieces of neighbouring channels that a block works on.
pub(crate) const COLUMNS: usize = 32;

/// Channels of a block of the kernels at the ends of sequences.
pub(crate) const THREADS: usize = 256;

/// Channels of a block that adds up partial sums.
pub(crate) const SUMMED: usize = 32;

/// Tokens of a chunk: the longer ones where there is work enough for them.
const LONG: usize = 1024;

/// The shorter ones, which kernels have that take any number of taps, or have no chunks.
pub(crate) const CHUNK: usize = 256;

/// Blocks that keep a large GPU busy.
const BUSY: usize = 128;

/// The tokens of a chunk when so many have so many channels.
pub(crate) fn chunk(rows: usize, channels: usize, scalar: Scalar) -> usize {
    let slices = channels.div_ceil(COLUMNS * shape(scalar, LONG).slice);
    if rows / LONG * slices >= BUSY { LONG } else { CHUNK }
}

/// Chunk, and the neighbouring channels of a piece.
pub(crate) fn shape(scalar: Scalar, chunk: usize) -> Shape {
    super::shape(chunk, if scalar == Scalar::F32 { 2 } else { 4 })
}

/// Kernels that work on chunks come in both, the others in one.
pub(crate) fn kernel(template: &'static str, scalar: Scalar, Shape { chunk, slice }: Shape) -> Kernel {
    let chunk = if CHUNKED.contains(&template) { chunk } else { CHUNK };
    Kernel { source: SOURCE, template, scalar, chunk, width: TAPS, slice }
}

const CHUNKED: [&str; 2] = ["ConvolutionForward", "ConvolutionBackward"];

const OTHERS: [&str; 5] =
    ["LongConvolutionForward", "LongConvolutionBackward", "ConvolutionTail", "ConvolutionHead", "ConvolutionSums"];

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for scalar in Scalar::ALL {
        for chunk in [LONG, CHUNK] {
            kernels.extend(CHUNKED.map(|template| kernel(template, scalar, shape(scalar, chunk))));
        }
        kernels.extend(OTHERS.map(|template| kernel(template, scalar, shape(scalar, CHUNK))));
    }
    kernels
}
