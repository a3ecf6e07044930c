//! Shapes of `kernels/chunk/windows.cu`.

use super::{Kernel, Scalar, Target, scalars_and_widths};

pub(crate) const SOURCE: &str = "chunk/windows.cu";

/// For gates by channel, or keys, of this type and padded width.
pub(crate) const fn windows(scalar: Scalar, width: usize) -> Kernel {
    Kernel { source: SOURCE, template: "Windows", scalar, chunk: 64, width, slice: 64 }
}

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    scalars_and_widths().map(|(scalar, width)| windows(scalar, width)).collect()
}
