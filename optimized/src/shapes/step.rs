//! Shapes of `kernels/step`: one token of each sequence, a block for each slice of values.

use super::{Kernel, Scalar, Shape, Target, WIDTHS, shape};

/// A step of one op, or of several that differ in what is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) source: &'static str,
    pub(crate) template: &'static str,
}

pub(crate) const SIMPLE_GLA: Step = Step { source: "step/simple_gla.cu", template: "SimpleGlaStep" };
pub(crate) const NORMALIZED: Step = Step { source: "step/simple_gla.cu", template: "NormalizedStep" };
pub(crate) const GLA: Step = Step { source: "step/gla.cu", template: "GlaStep" };
pub(crate) const GATED_DELTA: Step = Step { source: "step/delta.cu", template: "GatedDeltaStep" };
pub(crate) const KDA: Step = Step { source: "step/delta.cu", template: "KdaStep" };

/// Columns of values of a block: 128 bytes of each row of a state.
pub(crate) const SLICE: Shape = shape(1, 32);

pub(super) fn kernels(_: Target) -> Vec<Kernel> {
    let of = |Step { source, template }| {
        let Shape { chunk, slice } = SLICE;
        let each = move |scalar| WIDTHS.map(|width| Kernel { source, template, scalar, chunk, width, slice });
        Scalar::ALL.into_iter().flat_map(each)
    };
    [SIMPLE_GLA, NORMALIZED, GLA, GATED_DELTA, KDA].into_iter().flat_map(of).collect()
}
