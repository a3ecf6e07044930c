//! Shapes of `kernels/delta/kda.cu`.

use super::{Kernel, Scalar, Shape, Target, WIDTHS, scalars_and_widths, shape};

pub(crate) const SOURCE: &str = "delta/kda.cu";

/// What the kernels of `kda` are given: most of them, the gradients. All have the same chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shapes {
    pub(crate) most: Shape,
    pub(crate) gradient: Shape,
}

/// None where shared memory is too small: AMD's holds no chunk of 256 channels with its decays.
pub(crate) fn shapes(target: Target, scalar: Scalar, width: usize) -> Option<Shapes> {
    let most = match (target, scalar, width) {
        (Target::Cuda, Scalar::F32, 256) => shape(16, 32),
        (Target::Cuda, Scalar::F32, _) => shape(32, 32),
        (Target::Cuda, _, 256) => shape(16, 64),
        (Target::Cuda, ..) => shape(32, 64),
        (Target::Hip, _, 256) => return None,
        (Target::Hip, ..) => shape(16, 16),
    };
    let slice = most.slice.min(if width == 256 { 16 } else { 32 });
    Some(Shapes { most, gradient: shape(most.chunk, slice) })
}

/// Where there is room for it, the forward pass in one kernel.
pub(crate) fn fused(target: Target, scalar: Scalar, width: usize) -> Option<Shape> {
    (target == Target::Cuda && scalar != Scalar::F32 && width <= 128).then_some(shape(32, width))
}

/// The backward pass in one kernel, after a forward pass that keeps its states; for values no wider than the slice. Its
/// operands have a whole chunk's decay folded into them, for which the exponents of f16 do not suffice.
pub(crate) fn backward(target: Target, scalar: Scalar, width: usize) -> Option<Shape> {
    fused(target, scalar, width).filter(|_| scalar == Scalar::Bf16)
}

/// The widest keys that a target's kernels take.
pub(crate) fn widest(target: Target) -> usize {
    WIDTHS.into_iter().rev().find(|&w| shapes(target, Scalar::F32, w).is_some()).unwrap_or(0)
}

pub(super) fn kernels(target: Target) -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for (scalar, width) in scalars_and_widths() {
        let Some(Shapes { most, gradient }) = shapes(target, scalar, width) else { continue };
        let mut add = |template, Shape { chunk, slice }| {
            kernels.push(Kernel { source: SOURCE, template, scalar, chunk, width, slice });
        };
        for template in ["KdaPrepare", "KdaStates", "KdaReverse"] {
            add(template, most);
        }
        add("KdaGradient", gradient);
        match fused(target, scalar, width) {
            Some(fused) => {
                for template in ["KdaFused", "KdaFusedLate", "KdaPieces"] {
                    add(template, fused);
                }
            }
            None => add("KdaForward", most),
        }
        if let Some(backward) = backward(target, scalar, width) {
            add("KdaKept", backward);
            add("KdaBackward", backward);
        }
    }
    kernels
}
