//! Shapes of `kernels/chunk/gla.cu`.

use super::{Kernel, Scalar, Shape, Target, scalars_and_widths, shape};

pub(crate) const SOURCE: &str = "chunk/gla.cu";

/// What the kernels of `gla` are given: the two sweeps, and the gradients. All have the same chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shapes {
    pub(crate) sweep: Shape,
    pub(crate) gradients: Shape,
}

/// `both`: with gates of values too.
pub(crate) fn shapes(target: Target, scalar: Scalar, width: usize, both: bool) -> Shapes {
    let (sweep, gradients) = match (target, scalar, width) {
        (Target::Cuda, Scalar::F32, 64) => (shape(32, 32), shape(32, 32)),
        (Target::Cuda, Scalar::F32, _) => (shape(16, 32), shape(16, 16)),
        (Target::Cuda, _, 256) => (shape(32, 64), shape(32, 32)),
        (Target::Cuda, _, 128) if !both => (shape(64, 128), shape(64, 64)),
        (Target::Cuda, ..) => (shape(64, 64), shape(64, if both { 32 } else { 64 })),
        (Target::Hip, Scalar::F32, 256) => (shape(16, 16), shape(16, 16)),
        (Target::Hip, Scalar::F32, _) => (shape(16, 32), shape(16, 16)),
        (Target::Hip, _, 256) => (shape(16, 32), shape(16, 16)),
        (Target::Hip, _, 128) => (shape(16, 64), shape(16, 32)),
        (Target::Hip, ..) => (shape(32, 64), shape(32, 32)),
    };
    Shapes { sweep, gradients }
}

/// Without gates of values, where there is room for it: the forward pass by two roles, the backward pass in one kernel
/// where values are no wider than the slice, and what pieces of sequences do.
pub(crate) fn roomy(target: Target, scalar: Scalar, width: usize) -> Option<Shape> {
    (target == Target::Cuda && scalar != Scalar::F32 && width <= 128).then_some(shape(64, width))
}

/// Templates of forward pass, gradients of the states, gradients.
pub(crate) fn templates(both: bool) -> [&'static str; 3] {
    if both {
        ["GlaForwardBoth", "GlaStateGradientsBoth", "GlaGradientsBoth"]
    } else {
        ["GlaForward", "GlaStateGradients", "GlaGradients"]
    }
}

pub(super) fn kernels(target: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for (scalar, width) in scalars_and_widths() {
        for both in [false, true] {
            let Shapes { sweep, gradients } = shapes(target, scalar, width, both);
            for (template, Shape { chunk, slice }) in templates(both).into_iter().zip([sweep, sweep, gradients]) {
                kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width, slice });
            }
        }
        if let Some(Shape { chunk, slice }) = roomy(target, scalar, width) {
            for template in ["GlaRoles", "GlaRolesLate", "GlaBackward", "GlaBackwardLate", "GlaPieces"] {
                kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width, slice });
            }
        }
    }
    kernels
}
