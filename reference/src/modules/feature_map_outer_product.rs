//! A triangle of the outer product of two learned projections.
//!
//! $$ o_{ij} = (W_1 x)_i\, (W_2 x)_j, \qquad i \le j $$
//!
//! row by row. Well conditioned.
//!
//! # Errors
//! C1: M is I (I + 1) / 2.
//!
//! Paper: none; the second-order features of Arora et al., *Based*, 2024, learned.
//! Upstream: `LearnableOuterProductFeatureMap` of `fla/modules/feature_map.py` in 0.6.0: `feature_dim` is I. Its
//! `normalizer` has no effect.

use ndarray::{Array2, ArrayViewD, Ix2};

use crate::algebra::{linear, rank, triangle};
use crate::real::Real;
use crate::spec::{Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The features `[T, I (I + 1) / 2]` of `x` `[T, K]`.
pub fn features<F: Real>(x: &Array2<F>, left: ArrayViewD<'_, F>, right: ArrayViewD<'_, F>) -> Array2<F> {
    let [left, right] = [left, right].map(|weight| rank::<F, Ix2>(linear(x, weight)));
    triangles(&left, &right)
}

/// Of every row of `x` with that of `y`, the products on and above the diagonal.
pub fn triangles<F: Real>(x: &Array2<F>, y: &Array2<F>) -> Array2<F> {
    let rows: Vec<F> = x.rows().into_iter().zip(y.rows()).flat_map(|(x, y)| triangle(x, y, 0)).collect();
    let width = triangular(x.ncols());
    Array2::from_shape_vec((x.nrows(), width), rows).expect("a row of products for each token")
}

/// Elements on and above the diagonal of a square.
pub(super) const fn triangular(n: usize) -> usize {
    n * (n + 1) / 2
}

fn feature_map_outer_product<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    vec![features(&x.matrix("x").to_owned(), x.tensor("layer1.weight"), x.tensor("layer2.weight")).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_outer_product",
    level: Level::Module,
    summary: "o = upper triangle of (W1 x) (W2 x)^T",
    source: "after Arora et al. 2024 (arXiv 2402.18668)",
    upstream: &[
        "fla.modules.feature_map.LearnableOuterProductFeatureMap",
        "fla.modules.feature_map.flatten_diag_outer_product",
    ],
    sizes: dims![B, T, K, I, M],
    inputs: &[
        Port::new("x", dims![B, T, K], Domain::Normal),
        Port::weight("layer1.weight", dims![I, K], &[1, 1]),
        Port::weight("layer2.weight", dims![I, K], &[1, 1]),
    ],
    outputs: &[Port::new("o", dims![B, T, M], Domain::Normal)],
    attrs: &[],
    constraints: &[Constraint {
        label: "C1",
        text: "M is I (I + 1) / 2",
        holds: |p| p.size(Dim::M) == triangular(p.size(Dim::I)),
        break_it: |p| _ = p.sizes.insert(Dim::M, triangular(p.size(Dim::I)) + 1),
        mend: |p| _ = p.sizes.insert(Dim::M, triangular(p.size(Dim::I))),
    }],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_outer_product),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn three_of_four_products() {
        let inputs = "x=1 layer1.weight=2,3 layer2.weight=5,7";
        let back = "d_layer1.weight=12,7 d_layer2.weight=2,5 d_x=90";
        check(&SPEC, "B=1 T=1 K=1 I=2 M=3", inputs, "d_o=1,1,1", &format!("o=10,14,21 {back}"));
    }
}
