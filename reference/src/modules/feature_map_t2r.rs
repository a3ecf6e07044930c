//! The features of transformers turned into recurrent networks: a learned projection above 0.
//!
//! $$ o = \max(0, W x + b) $$
//!
//! Well conditioned; a kink at 0, where the derivative is 0.
//!
//! Paper: Kasai et al., *Finetuning Pretrained Transformers into RNNs*, 2021: the
//! learned feature map.
//! Upstream: `T2RFeatureMap` of `fla/modules/feature_map.py` in 0.6.0: `dot_dim` is M.

use ndarray::{Array2, ArrayViewD, Ix2};

use crate::algebra::{affine, linear, rank, relu};
use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The features `[T, M]` of `x` `[T, K]`.
pub fn features<F: Real>(x: &Array2<F>, weight: ArrayViewD<'_, F>, bias: Option<ArrayViewD<'_, F>>) -> Array2<F> {
    let y = match bias {
        Some(bias) => affine(x, weight, bias),
        None => linear(x, weight),
    };
    rank::<F, Ix2>(y).mapv(relu)
}

fn feature_map_t2r<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    vec![features(&x.matrix("x").to_owned(), x.tensor("layer.weight"), Some(x.tensor("layer.bias"))).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_t2r",
    level: Level::Module,
    summary: "o = max(0, W x + b)",
    source: "Kasai et al. 2021 (arXiv 2103.13076)",
    upstream: &["fla.modules.feature_map.T2RFeatureMap"],
    sizes: dims![B, T, K, M],
    inputs: &[
        Port::new("x", dims![B, T, K], Domain::Normal),
        Port::weight("layer.weight", dims![M, K], &[1, 1]),
        Port::bias("layer.bias", dims![M], &[1]),
    ],
    outputs: &[Port::new("o", dims![B, T, M], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_t2r),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn what_is_below_zero_is_lost() {
        let inputs = "x=2,3 layer.weight=1,1,-1,0 layer.bias=4,1";
        let back = "d_x=1,1 d_layer.weight=2,3,0,0 d_layer.bias=1,0";
        check(&SPEC, "B=1 T=1 K=2 M=2", inputs, "d_o=1,1", &format!("o=9,0 {back}"));
    }
}
