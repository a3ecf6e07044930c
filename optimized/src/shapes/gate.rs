//! Shapes of `kernels/rows/gate.cu`.

use super::{Kernel, Scalar, Target};

/// The gates' kernels have no width; a chunk of rows, and the neighbouring columns of a piece.
pub(crate) const GATE: Kernel =
    Kernel { source: "rows/gate.cu", template: "", scalar: Scalar::F32, chunk: 128, width: 0, slice: 4 };

/// Pieces of neighbouring columns that a block works on.
pub(crate) const COLUMNS: usize = 32;

/// Threads of a block.
pub(crate) const THREADS: usize = 256;

/// Columns of a block that adds up partial sums.
pub(crate) const SUMMED: usize = 32;

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let templates = ["GateForward", "GateBackward", "GateSums", "BetaForward", "BetaBackward"];
    let of = |scalar| templates.map(|template| Kernel { template, scalar, ..GATE });
    Scalar::ALL.into_iter().flat_map(of).collect()
}
