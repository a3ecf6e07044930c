//! Hedgehog's features: a learned projection, and a softmax over it and its negative.
//!
//! $$ o = \operatorname{softmax}\big( [2y,\ -2y] \big), \qquad y = W x + b $$
//!
//! Well conditioned.
//!
//! # Errors
//! C1: M is 2 K.
//!
//! Paper: Zhang et al., *The Hedgehog & the Porcupine*, 2024: the learned map with a negative half and a softmax over
//! channels, which has no factor 2.
//! Upstream: `HedgehogFeatureMap` of `fla/modules/feature_map.py` in 0.6.0.

use ndarray::{Array2, ArrayViewD, Axis, concatenate};

use crate::algebra::{affine, rank, softmax};
use crate::real::Real;
use crate::spec::{Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The features `[T, 2K]` of `x` `[T, K]`.
pub fn features<F: Real>(x: &Array2<F>, weight: ArrayViewD<'_, F>, bias: ArrayViewD<'_, F>) -> Array2<F> {
    halves(&rank(affine(x, weight, bias)))
}

/// The features `[T, 2K]` of what a projection left, `[T, K]`.
pub fn halves<F: Real>(y: &Array2<F>) -> Array2<F> {
    let twice = y.mapv(|y| y + y);
    softmax(concatenate![Axis(1), twice, twice.mapv(|y| -y)])
}

fn feature_map_hedgehog<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    vec![features(&x.matrix("x").to_owned(), x.tensor("layer.weight"), x.tensor("layer.bias")).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_hedgehog",
    level: Level::Module,
    summary: "o = softmax([2 (W x + b), -2 (W x + b)])",
    source: "Zhang et al. 2024 (arXiv 2402.04347)",
    upstream: &["fla.modules.feature_map.HedgehogFeatureMap"],
    sizes: dims![B, T, K, M],
    inputs: &[
        Port::new("x", dims![B, T, K], Domain::Normal),
        Port::weight("layer.weight", dims![K, K], &[1, 1]),
        Port::bias("layer.bias", dims![K], &[1]),
    ],
    outputs: &[Port::new("o", dims![B, T, M], Domain::Normal)],
    attrs: &[],
    constraints: &[Constraint {
        label: "C1",
        text: "M is 2 K",
        holds: |p| p.size(Dim::M) == 2 * p.size(Dim::K),
        break_it: |p| _ = p.sizes.insert(Dim::M, 2 * p.size(Dim::K) + 1),
        mend: |p| _ = p.sizes.insert(Dim::M, 2 * p.size(Dim::K)),
    }],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_hedgehog),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_channel_against_its_negative() {
        // e^{2y} : e^{-2y} is 9 : 1 with y = ln 3 / 2
        let y = 3f64.ln() / 2.0;
        let inputs = format!("x=1 layer.weight={y} layer.bias=0");
        check(&SPEC, "B=1 T=1 K=1 M=2", &inputs, "d_o=1,0", "o=0.9,0.1 d_layer.bias=0.36");
    }
}
