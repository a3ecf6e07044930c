//! ReBased's features: all squares and products of a normalised token.
//!
//! $$ o = \Big[ \frac{y_i^2}{\sqrt K},\ \sqrt{\tfrac2K}\, y_i y_j\ (i < j) \Big], \qquad
//! y = \gamma \odot \operatorname{LayerNorm}(x) + \beta, \qquad o(q) \cdot o(k) = \frac{(y_q \cdot y_k)^2}{K} $$
//!
//! Without `normalize`, y is $\gamma \odot x + \beta$. Ill conditioned where the channels of a token differ by less
//! than √ε.
//!
//! # Errors
//! C1: M is K (K + 1) / 2.
//!
//! Paper: Aksenov et al., *Linear Transformers with Learnable Kernel Functions are Better In-Context Models*, 2024.
//! Upstream: `RebasedFeatureMap` of `fla/modules/feature_map.py` in 0.6.0, where γ and β are each there or not (not β
//! alone without `normalize`); with `flatten` off it gives y.

use ndarray::{Array2, ArrayView2, ArrayViewD};

use super::feature_map_outer_product::triangular;
use super::layer_norm::normalise;
use crate::algebra::{plus, times, triangle};
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `x` `[T, K]`, layer-normalised when `norm`, with `gamma` and `beta`.
pub fn affine<F: Real>(
    x: ArrayView2<'_, F>,
    gamma: ArrayViewD<'_, F>,
    beta: ArrayViewD<'_, F>,
    norm: bool,
) -> Array2<F> {
    let y = if norm { normalise(&x, EPS) } else { x.to_owned() };
    plus(times(y, gamma), beta)
}

/// The features `[T, K (K + 1) / 2]` of `y` `[T, K]`.
pub fn features<F: Real>(y: ArrayView2<'_, F>) -> Array2<F> {
    let (tokens, width) = y.dim();
    let [one, two] = [1.0, 2.0].map(|n| F::from_f64((n / width as f64).sqrt()));
    let each = |row| triangle(row, row, 1).into_iter().map(move |y| y * two);
    let rows = y.rows().into_iter().flat_map(|row| {
        let squares: Vec<F> = row.iter().map(|&y| y * y * one).collect();
        squares.into_iter().chain(each(row))
    });
    Array2::from_shape_vec((tokens, triangular(width)), rows.collect()).expect("as many features for each token")
}

const EPS: f64 = 1e-5;

fn feature_map_rebased<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let y = affine(x.matrix("x"), x.tensor("gamma"), x.tensor("beta"), x.problem.flag("normalize"));
    vec![features(y.view()).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_rebased",
    level: Level::Module,
    summary: "o = [y_i² / sqrt(K), sqrt(2 / K) y_i y_j for i < j], y = gamma norm(x) + beta",
    source: "Aksenov et al. 2024 (arXiv 2402.10644)",
    upstream: &["fla.modules.feature_map.RebasedFeatureMap"],
    sizes: dims![B, T, K, M],
    inputs: &[
        Port::new("x", dims![B, T, K], Domain::Normal),
        Port::scale("gamma", dims![K]),
        Port::bias("beta", dims![K], &[1]),
    ],
    outputs: &[Port::new("o", dims![B, T, M], Domain::Normal)],
    attrs: &[Attr::flag("normalize", true, "normalise the token first")],
    constraints: &[Constraint {
        label: "C1",
        text: "M is K (K + 1) / 2",
        holds: |p| p.size(Dim::M) == triangular(p.size(Dim::K)),
        break_it: |p| _ = p.sizes.insert(Dim::M, triangular(p.size(Dim::K)) + 1),
        mend: |p| _ = p.sizes.insert(Dim::M, triangular(p.size(Dim::K))),
    }],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_rebased),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn squares_and_their_products() {
        let fields = "B=1 T=1 K=2 M=3 normalize=false";
        let (root, inputs) = (0.5f64.sqrt(), "x=1,3 gamma=2,1 beta=0,1");
        // y = (2, 4)
        let expected = format!("o={},{},8 d_x=8,2 d_gamma=4,6 d_beta=4,2", 4.0 * root, 16.0 * root);
        check(&SPEC, fields, inputs, "d_o=0,0,1", &expected);
    }

    #[test]
    fn a_token_alone_is_its_bias() {
        check(&SPEC, "B=1 T=1 K=1 M=1", "x=5 gamma=7 beta=3", "d_o=1", "o=9 d_beta=6 d_x=0 d_gamma=0");
    }
}
