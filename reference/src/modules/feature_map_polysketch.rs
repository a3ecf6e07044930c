//! A polynomial kernel's features by sketching, non-negative in their products.
//!
//! $$ o_{ij} = y_i\, y_j, \quad i \le j, \qquad y = K^{-1/2}\, (S_1 \hat x) \odot (S_2 \hat x), \qquad
//! \hat x = \gamma \odot \operatorname{LayerNorm}(x) + \beta $$
//!
//! This is degree 4: each sketch doubles the degree, and so does the outer product, given row by row above its
//! diagonal. With `degree_8`, y is sketched once more, by matrices `[I, I]`. Ill conditioned where the channels of a
//! token differ by less than √ε.
//!
//! # Errors
//! C1: M is I (I + 1) / 2.
//!
//! Paper: Kacham, Mirrokni & Zhong, *PolySketchFormer*, 2023, here with learned sketches that are linear.
//! Upstream: `LearnablePolySketchNonNegativeFeatureMap` of `fla/modules/feature_map.py` in 0.6.0: `sketch_size` is I.
//! It has one pair of sketches at degree 2, its default, as at degree 4: both are degree 4. Products of features with a
//! triangle instead of the whole square are not the square of a product, and may be negative.

use ndarray::{Array2, Ix2};

use super::feature_map_outer_product::{triangles, triangular};
use super::layer_norm::normalise;
use crate::algebra::{linear, plus, rank, times};
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

const EPS: f64 = 1e-5;

fn feature_map_polysketch<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let scale = F::from_f64((x.problem.size(Dim::K) as f64).powf(-0.5));
    let sketched = |y: &Array2<F>, names: [&str; 2]| {
        let [left, right] = names.map(|name| rank::<F, Ix2>(linear(y, x.tensor(name))));
        (left * right).mapv(|y| y * scale)
    };
    let normed = plus(times(normalise(&x.matrix("x"), EPS), x.tensor("gamma")), x.tensor("beta"));
    let mut y = sketched(&normed, ["sketches1.0.weight", "sketches2.0.weight"]);
    if x.problem.flag("degree_8") {
        y = sketched(&y, ["sketches1.1.weight", "sketches2.1.weight"]);
    }
    vec![triangles(&y, &y).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_polysketch",
    level: Level::Module,
    summary: "o = upper triangle of y y^T, y = (S1 norm(x)) * (S2 norm(x)) / sqrt(K)",
    source: "Kacham, Mirrokni & Zhong 2023 (arXiv 2310.01655)",
    upstream: &["fla.modules.feature_map.LearnablePolySketchNonNegativeFeatureMap"],
    sizes: dims![B, T, K, I, M],
    inputs: &[
        Port::new("x", dims![B, T, K], Domain::Normal),
        Port::scale("gamma", dims![K]),
        Port::bias("beta", dims![K], &[1]),
        Port::weight("sketches1.0.weight", dims![I, K], &[1, 1]),
        Port::weight("sketches2.0.weight", dims![I, K], &[1, 1]),
        Port::weight("sketches1.1.weight", dims![I, I], &[1, 1]).when("degree_8"),
        Port::weight("sketches2.1.weight", dims![I, I], &[1, 1]).when("degree_8"),
    ],
    outputs: &[Port::new("o", dims![B, T, M], Domain::Normal)],
    attrs: &[Attr::flag("degree_8", false, "sketch twice")],
    constraints: &[Constraint {
        label: "C1",
        text: "M is I (I + 1) / 2",
        holds: |p| p.size(Dim::M) == triangular(p.size(Dim::I)),
        break_it: |p| _ = p.sizes.insert(Dim::M, triangular(p.size(Dim::I)) + 1),
        mend: |p| _ = p.sizes.insert(Dim::M, triangular(p.size(Dim::I))),
    }],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_polysketch),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_token_alone_is_its_bias() {
        // one channel has no variance, and sketches of 2 give 2 · 3 = 6, whose square is 36
        let inputs = "x=5 gamma=7 beta=1 sketches1.0.weight=2 sketches2.0.weight=3";
        let back = "d_beta=144 d_sketches1.0.weight=36 d_sketches2.0.weight=24 d_gamma=0";
        check(&SPEC, "B=1 T=1 K=1 I=1 M=1", inputs, "d_o=1", &format!("o=36 {back}"));
        // once more: 6 · 6 · 1/2 = 18, and its square
        let inputs = format!("{inputs} sketches1.1.weight=1 sketches2.1.weight=0.5");
        check(&SPEC, "B=1 T=1 K=1 I=1 M=1 degree_8=true", &inputs, "", "o=324");
    }
}
