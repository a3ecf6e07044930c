//! Shapes of `kernels/rows/norm.cu`.

use super::{Kernel, Scalar, Target};

pub(crate) const SOURCE: &str = "rows/norm.cu";

/// Columns of a block that adds up partial sums.
pub(crate) const SUMMED: usize = 32;

/// Widest row of these kernels, 0 being any; threads of a row; threads of a block.
const SHAPES: [(usize, usize, usize); 6] =
    [(128, 16, 256), (512, 32, 256), (2048, 128, 256), (8192, 512, 512), (12288, 512, 512), (0, 512, 512)];

/// The shape for rows of `d` elements; a kernel's chunk is the threads of a row, its slice those of a block.
pub(crate) fn kernel(template: &'static str, scalar: Scalar, d: usize) -> Kernel {
    let fits = |&&(width, ..): &&(usize, usize, usize)| width == 0 || d <= width;
    let (width, row, block) = SHAPES.iter().find(fits).copied().unwrap_or(SHAPES[SHAPES.len() - 1]);
    instance(template, scalar, width, row, block)
}

fn instance(template: &'static str, scalar: Scalar, width: usize, row: usize, block: usize) -> Kernel {
    // the same 16 bytes are fewer elements
    let chunk = if scalar == Scalar::F32 && width == 128 { 2 * row } else { row };
    Kernel { source: SOURCE, template, scalar, chunk, width, slice: block }
}

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for scalar in Scalar::ALL {
        for (width, row, block) in SHAPES {
            kernels.extend(["NormForward", "NormBackward"].map(|t| instance(t, scalar, width, row, block)));
        }
        kernels.push(kernel("NormSums", scalar, 1));
    }
    kernels
}
