//! Features whose products are the exponential's Taylor polynomial of second degree.
//!
//! $$ o = \Big[ 1,\ \frac{x}{K^{1/4}},\ \frac{x_i^2}{\sqrt{2K}},\ \frac{x_i x_j}{\sqrt K}\ (i < j) \Big], \qquad
//! o(q) \cdot o(k) = 1 + s + \tfrac12 s^2, \quad s = \frac{q \cdot k}{\sqrt K} $$
//!
//! Well conditioned.
//!
//! # Errors
//! C1: M is 1 + K + K (K + 1) / 2.
//!
//! Paper: Arora et al., *Simple linear attention language models balance the recall-throughput tradeoff*, 2024:
//! the Taylor map.
//! Upstream: `TaylorFeatureMap` of `fla/modules/feature_map.py` in 0.6.0.

use ndarray::{Array2, ArrayView2};

use super::feature_map_outer_product::triangular;
use crate::algebra::triangle;
use crate::real::Real;
use crate::spec::{Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The features `[T, 1 + K + K (K + 1) / 2]` of `x` `[T, K]`.
pub fn features<F: Real>(x: ArrayView2<'_, F>) -> Array2<F> {
    let (tokens, width) = x.dim();
    let [quarter, half] = [0.25, 0.5].map(|power| F::from_f64((width as f64).powf(power)));
    let whole = F::from_f64((2.0 * width as f64).sqrt());
    let mut rows = Vec::with_capacity(tokens * features_of(width));
    for row in x.rows() {
        rows.push(F::one());
        rows.extend(row.iter().map(|&x| x / quarter));
        rows.extend(row.iter().map(|&x| x * x / whole));
        rows.extend(triangle(row, row, 1).into_iter().map(|x| x / half));
    }
    Array2::from_shape_vec((tokens, features_of(width)), rows).expect("as many features for each token")
}

const fn features_of(width: usize) -> usize {
    1 + width + triangular(width)
}

fn feature_map_taylor<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    vec![features(x.matrix("x")).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_taylor",
    level: Level::Module,
    summary: "o = [1, x / K^(1/4), x_i² / sqrt(2 K), x_i x_j / sqrt(K) for i < j]",
    source: "Arora et al. 2024 (arXiv 2402.18668)",
    upstream: &["fla.modules.feature_map.TaylorFeatureMap", "fla.modules.feature_map.flatten_diag_outer_product_off1"],
    sizes: dims![B, T, K, M],
    inputs: &[Port::new("x", dims![B, T, K], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, M], Domain::Normal)],
    attrs: &[],
    constraints: &[Constraint {
        label: "C1",
        text: "M is 1 + K + K (K + 1) / 2",
        holds: |p| p.size(Dim::M) == features_of(p.size(Dim::K)),
        break_it: |p| _ = p.sizes.insert(Dim::M, features_of(p.size(Dim::K)) + 1),
        mend: |p| _ = p.sizes.insert(Dim::M, features_of(p.size(Dim::K))),
    }],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_taylor),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_channel_and_two() {
        let root = 2f64.sqrt();
        check(&SPEC, "B=1 T=1 K=1 M=3", "x=3", "d_o=7,1,0", &format!("o=1,3,{} d_x=1", 9.0 / root));
        let expected = format!("o=1,{},{},2,8,{}", 2.0 / root.sqrt(), 4.0 / root.sqrt(), 8.0 / root);
        check(&SPEC, "B=1 T=1 K=2 M=6", "x=2,4", "d_o=0,0,0,0,0,1", &expected);
    }
}
