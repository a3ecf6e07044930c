//! Shapes of `kernels/delta/pieces.cu`.

use super::{Kernel, Scalar, Target};

pub(crate) const SOURCE: &str = "delta/pieces.cu";

/// Columns of values that a block takes through all pieces: few, as the pieces come one after the other.
const SLICE: usize = 16;

/// States are f32 and maps two bf16, whatever the operands.
pub(crate) const fn states(width: usize) -> Kernel {
    Kernel { source: SOURCE, template: "MappedStates", scalar: Scalar::Bf16, chunk: 16, width, slice: SLICE }
}

/// Where the delta rules have a forward pass in one kernel.
pub(super) fn kernels(target: Target) -> Vec<Kernel> {
    if target == Target::Cuda { vec![states(64), states(128)] } else { Vec::new() }
}
