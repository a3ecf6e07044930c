//! Shapes of `kernels/chunk/simple_gla.cu`.

use super::{Kernel, Scalar, Shape, Target, scalars_and_widths, shape};

pub(crate) const SOURCE: &str = "chunk/simple_gla.cu";

/// What the kernels of `simple_gla` are given: the forward pass, the sweep back, the gradients. All have the same
/// chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shapes {
    pub(crate) forward: Shape,
    pub(crate) sweep: Shape,
    pub(crate) gradients: Shape,
}

/// The fused backward pass and the gradients of a chunk that leave those by q and k in f32.
pub(crate) const NUMERATOR: [&str; 2] = ["NumeratorBackward", "NumeratorGradients"];

pub(crate) fn shapes(target: Target, scalar: Scalar, width: usize) -> Shapes {
    let (forward, sweep, gradients) = match (target, scalar, width) {
        (Target::Cuda, Scalar::F32, 64) => (shape(32, 32), shape(32, 32), shape(32, 32)),
        (Target::Cuda, Scalar::F32, _) => (shape(16, 32), shape(16, 32), shape(16, 16)),
        (Target::Cuda, _, 256) => (shape(32, 64), shape(32, 64), shape(32, 32)),
        (Target::Cuda, ..) => (shape(64, 64), shape(64, width), shape(64, 64)),
        (Target::Hip, Scalar::F32, 256) => (shape(16, 16), shape(16, 16), shape(16, 16)),
        (Target::Hip, Scalar::F32, _) => (shape(16, 32), shape(16, 32), shape(16, 16)),
        (Target::Hip, _, 256) => (shape(16, 32), shape(16, 32), shape(16, 16)),
        (Target::Hip, ..) => (shape(32, 64), shape(32, 64), shape(32, 32)),
    };
    Shapes { forward, sweep, gradients }
}

/// Where there is room for it, the forward pass by two roles, and the backward pass in one kernel where values are no
/// wider than the slice.
pub(crate) fn roles(target: Target, scalar: Scalar, width: usize) -> Option<Shape> {
    (target == Target::Cuda && scalar != Scalar::F32 && width <= 128).then_some(shape(64, width))
}

pub(super) fn kernels(target: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for (scalar, width) in scalars_and_widths() {
        let Shapes { forward, sweep, gradients } = shapes(target, scalar, width);
        let mut add = |template, Shape { chunk, slice }| {
            kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width, slice });
        };
        add("SimpleGlaForward", forward);
        add("SimpleGlaStateGradients", sweep);
        add("SimpleGlaPieces", sweep);
        add("SimpleGlaGradients", gradients);
        if let Some(roles) = roles(target, scalar, width) {
            add("SimpleGlaRoles", roles);
            add("SimpleGlaBackward", roles);
            add(NUMERATOR[0], roles);
        }
        if scalar != Scalar::F32 {
            add(NUMERATOR[1], gradients);
        }
    }
    kernels
}
