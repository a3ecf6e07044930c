//! Shapes of `kernels/delta/gated_delta_rule.cu`.

use super::{Kernel, Scalar, Shape, Target, scalars_and_widths, shape};

pub(crate) const SOURCE: &str = "delta/gated_delta_rule.cu";

/// What the kernels of `gated_delta_rule` are given: most of them, the sweep back, the gradients. All have the same
/// chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shapes {
    pub(crate) most: Shape,
    pub(crate) reverse: Shape,
    pub(crate) gradient: Shape,
}

pub(crate) fn shapes(target: Target, scalar: Scalar, width: usize) -> Shapes {
    let most = match (target, scalar, width) {
        (Target::Cuda, Scalar::F32, 256) => shape(16, 32),
        (Target::Cuda, Scalar::F32, _) => shape(32, 32),
        (Target::Cuda, _, 256) => shape(32, 64),
        (Target::Cuda, ..) => shape(64, 64),
        (Target::Hip, Scalar::F32, _) | (Target::Hip, _, 256) => shape(16, 16),
        (Target::Hip, ..) => shape(32, 32),
    };
    // two blocks of the sweep back do not fit beside each other, so that one takes the width of two
    let wide = target == Target::Cuda && scalar != Scalar::F32 && width == 128;
    let reverse = if wide { shape(most.chunk, 128) } else { most };
    // two slices of f32 states at a time
    let slice = most.slice.min(if width == 256 && scalar != Scalar::F32 { 16 } else { 32 });
    Shapes { most, reverse, gradient: shape(most.chunk, slice) }
}

/// Where there is room for it, the forward pass of `gated_delta_rule` in one kernel, and with it [`backward`].
pub(crate) fn fused(target: Target, scalar: Scalar, width: usize) -> Option<Shape> {
    (target == Target::Cuda && scalar != Scalar::F32 && width <= 128).then_some(shape(32, width))
}

/// The backward pass in one kernel, after a forward pass that keeps its states; for values no wider than the slice.
pub(crate) fn backward(target: Target, scalar: Scalar, width: usize) -> Option<Shape> {
    fused(target, scalar, width).map(|fused| shape(64, fused.slice))
}

pub(super) fn kernels(target: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for (scalar, width) in scalars_and_widths() {
        let Shapes { most, reverse, gradient } = shapes(target, scalar, width);
        let mut add = |template, Shape { chunk, slice }| {
            kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width, slice });
        };
        for template in ["GatedDeltaPrepare", "GatedDeltaStates"] {
            add(template, most);
        }
        add("GatedDeltaReverse", reverse);
        add("GatedDeltaGradient", gradient);
        match fused(target, scalar, width) {
            Some(fused) => {
                add("GatedDeltaFused", fused);
                add("GatedDeltaKept", fused);
                add("GatedDeltaPieces", fused);
            }
            None => add("GatedDeltaForward", most),
        }
        if let Some(backward) = backward(target, scalar, width) {
            add("GatedDeltaBackward", backward);
        }
    }
    kernels
}
