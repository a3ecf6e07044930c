//! Shapes of `kernels/delta/prologue.cu`, which the delta rules share.

use super::{Kernel, Scalar, Shape, Target, scalars_and_widths, shape};

pub(crate) const SOURCE: &str = "delta/prologue.cu";

/// Rows of a block of the normalising prologue, and the shape of the elementwise ones.
pub(crate) const NORM: Shape = shape(16, 64);
/// Rows of a block of the sum over value heads.
pub(crate) const GROUP_SUM: Shape = shape(64, 64);
pub(crate) const GATE: Kernel =
    Kernel { source: SOURCE, template: "", scalar: Scalar::F32, chunk: 64, width: 64, slice: 32 };

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let norms = scalars_and_widths().flat_map(|(scalar, width)| {
        let make =
            move |(template, Shape { chunk, slice })| Kernel { source: SOURCE, template, scalar, chunk, width, slice };
        [("NormForward", NORM), ("NormBackward", NORM), ("GroupSum", GROUP_SUM)].map(make)
    });
    let gates = ["GateForward", "GateBackward", "GateSums", "BetaForward", "BetaBackward"];
    norms.chain(gates.map(|template| Kernel { template, ..GATE })).collect()
}
