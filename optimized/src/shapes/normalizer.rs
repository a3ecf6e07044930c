//! Shapes of `kernels/chunk/normalizer.cu`.

use super::{Kernel, Shape, Target, scalars_and_widths, shape};

pub(crate) const SOURCE: &str = "chunk/normalizer.cu";

/// Rows of a block that splits the gradient of the outputs, whatever the key width.
pub(crate) const SPLIT: Shape = shape(32, 64);

/// The kernels that sum keys and queries.
pub(crate) fn sums(target: Target) -> Shape {
    shape(if target == Target::Cuda { 32 } else { 16 }, 64)
}

pub(super) fn kernels(target: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for (scalar, width) in scalars_and_widths() {
        let Shape { chunk, slice } = sums(target);
        for template in ["NormalizerForward", "NormalizerBackward"] {
            kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width, slice });
        }
        if width == 64 {
            let (template, Shape { chunk, slice }) = ("NormalizerSplit", SPLIT);
            kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width, slice });
        }
    }
    kernels
}
