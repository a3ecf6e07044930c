//! Shapes of `kernels/rows/short_convolution.cu`.

use super::{Kernel, Scalar, Shape, Target, shape};

pub(crate) const SOURCE: &str = "rows/short_convolution.cu";

/// Taps that are kept in registers: the width of these kernels.
pub(crate) const TAPS: usize = 4;

/// Pieces of neighbouring channels that a block works on.
pub(crate) const COLUMNS: usize = 32;

/// Channels of a block of the kernels at the ends of sequences.
pub(crate) const THREADS: usize = 256;

/// Channels of a block that adds up partial sums.
pub(crate) const SUMMED: usize = 32;

/// Tokens of a chunk.
pub(crate) const CHUNK: usize = 256;

/// Chunk, and the neighbouring channels of a piece.
pub(crate) fn shapes(scalar: Scalar) -> [Shape; 2] {
    let forward = if scalar == Scalar::F32 { 4 } else { 8 };
    [shape(CHUNK, forward), shape(CHUNK, 4)]
}

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for scalar in Scalar::ALL {
        let [forward, backward] = shapes(scalar);
        let mut add = |template, Shape { chunk, slice }| {
            kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width: TAPS, slice });
        };
        for template in ["ConvolutionForward", "LongConvolutionForward", "ConvolutionTail"] {
            add(template, forward);
        }
        for template in ["ConvolutionBackward", "LongConvolutionBackward", "ConvolutionHead", "ConvolutionSums"] {
            add(template, backward);
        }
    }
    kernels
}
