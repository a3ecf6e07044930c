//! Shapes of `kernels/rows/gate.cu`.

use super::{Kernel, Scalar, Target};

/// The gates' kernels have no width; a chunk of rows, and the neighbouring columns of a piece. This is the chunk of
/// kernels that have none, and of few columns.
pub(crate) const GATE: Kernel =
    Kernel { source: "rows/gate.cu", template: "", scalar: Scalar::F32, chunk: 32, width: 0, slice: 4 };

/// Rows of a chunk where there are many columns.
const LONG: usize = 128;

/// Blocks that keep a large GPU busy.
const BUSY: usize = 264;

/// Pieces of neighbouring columns that a block works on.
pub(crate) const COLUMNS: usize = 32;

/// Threads of a block.
pub(crate) const THREADS: usize = 256;

/// Columns of a block that adds up partial sums.
pub(crate) const SUMMED: usize = 32;

/// The rows of a chunk when there are so many rows and columns.
pub(crate) fn chunk(rows: usize, columns: usize) -> usize {
    if rows / LONG * columns.div_ceil(COLUMNS * GATE.slice) >= BUSY { LONG } else { GATE.chunk }
}

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let gates = ["GateForward", "GateBackward", "GateSums"];
    let mut kernels = Vec::new();
    for scalar in Scalar::ALL {
        for chunk in [LONG, GATE.chunk] {
            kernels.extend(gates.map(|template| Kernel { template, scalar, chunk, ..GATE }));
        }
        kernels.extend(["BetaForward", "BetaBackward"].map(|template| Kernel { template, scalar, ..GATE }));
    }
    kernels
}
