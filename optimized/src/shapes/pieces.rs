//! Shapes of `kernels/chunk/pieces.cu`.

use super::{Kernel, Scalar, Target};

pub(crate) const SOURCE: &str = "chunk/pieces.cu";

/// States are f32 whatever the operands: one instance for all.
pub(crate) const STATES: Kernel =
    Kernel { source: SOURCE, template: "PieceStates", scalar: Scalar::F32, chunk: 16, width: 64, slice: 64 };

/// Elements of a state that a block works on.
pub(crate) const ELEMENTS: usize = STATES.chunk * STATES.width;

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    vec![STATES]
}
