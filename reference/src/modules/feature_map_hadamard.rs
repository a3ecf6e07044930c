//! The product of two learned projections, element by element.
//!
//! $$ o = (W_1 x + b_1) \odot (W_2 x + b_2) $$
//!
//! Well conditioned.
//!
//! Paper: none; the quadratic features of Kasai et al. 2021 without an activation.
//! Upstream: `HadamardFeatureMap` of `fla/modules/feature_map.py` in 0.6.0.

use ndarray::{Array2, ArrayViewD, Ix2};

use crate::algebra::{affine, rank};
use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The features `[T, K]` of `x` `[T, K]`, of two weights, each with its bias.
pub fn features<F: Real>(x: &Array2<F>, layers: [(ArrayViewD<'_, F>, ArrayViewD<'_, F>); 2]) -> Array2<F> {
    let [left, right] = layers.map(|(weight, bias)| rank::<F, Ix2>(affine(x, weight, bias)));
    left * right
}

fn feature_map_hadamard<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let layers = [("layer1.weight", "layer1.bias"), ("layer2.weight", "layer2.bias")];
    let layers = layers.map(|(weight, bias)| (x.tensor(weight), x.tensor(bias)));
    vec![features(&x.matrix("x").to_owned(), layers).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_hadamard",
    level: Level::Module,
    summary: "o = (W1 x + b1) * (W2 x + b2)",
    source: "after Kasai et al. 2021 (arXiv 2103.13076)",
    upstream: &["fla.modules.feature_map.HadamardFeatureMap"],
    sizes: dims![B, T, K],
    inputs: &[
        Port::new("x", dims![B, T, K], Domain::Normal),
        Port::weight("layer1.weight", dims![K, K], &[1, 1]),
        Port::new("layer1.bias", dims![K], Domain::Normal),
        Port::weight("layer2.weight", dims![K, K], &[1, 1]),
        Port::new("layer2.bias", dims![K], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, K], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_hadamard),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_product_of_two_lines() {
        let inputs = "x=2 layer1.weight=3 layer1.bias=1 layer2.weight=5 layer2.bias=-1";
        let back = "d_x=62 d_layer1.weight=18 d_layer1.bias=9 d_layer2.weight=14 d_layer2.bias=7";
        check(&SPEC, "B=1 T=1 K=1", inputs, "d_o=1", &format!("o=63 {back}"));
    }
}
