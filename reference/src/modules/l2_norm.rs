//! Every token at unit length.
//!
//! $$ o = \frac{x}{\sqrt{\sum_j x_j^2 + \epsilon}} $$
//!
//! ε is added to the sum, not taken as a least length. Well conditioned unless tokens are as small as √ε, where the
//! derivative grows to 1/√ε.
//!
//! Paper: Yang et al., *Parallelizing Linear Transformers with the Delta Rule*, 2024 (keys
//! of unit length).
//! Upstream: `L2Norm` and `l2norm` (also named `l2_norm`) of `fla/modules/norm/l2norm.py` in 0.6.0; `output_dtype` does
//! not change values.

use ndarray::{Array, ArrayBase, Axis, Data, Dimension};

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What models add to the sum of squares.
pub const EPS: f64 = 1e-6;

/// `x / √(Σ x² + eps)` along the last axis.
pub fn normalise<F: Real, S: Data<Elem = F>, D: Dimension>(x: &ArrayBase<S, D>, eps: f64) -> Array<F, D> {
    let mut y = x.to_owned();
    let last = Axis(y.ndim() - 1);
    for mut lane in y.lanes_mut(last) {
        let root = (lane.iter().map(|&x| x * x).sum::<F>() + F::from_f64(eps)).sqrt();
        lane.mapv_inplace(|x| x / root);
    }
    y
}

fn l2_norm<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    vec![normalise(&x.matrix("x"), x.problem.number("eps").unwrap_or(EPS)).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "l2_norm",
    level: Level::Module,
    summary: "o = x / sqrt(sum x² + eps)",
    source: "Yang et al. 2024 (arXiv 2406.06484)",
    upstream: &["fla.modules.L2Norm", "fla.modules.norm.l2norm.l2_norm"],
    sizes: dims![B, T, D],
    inputs: &[Port::new("x", dims![B, T, D], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[Attr::number("eps", EPS, 0.25, "added to the sum of squares")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(l2_norm),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn three_four_five() {
        check(&SPEC, "B=1 T=1 D=2 eps=0", "x=3,4", "d_o=5,0", "o=0.6,0.8 d_x=0.64,-0.48");
        // 9 + 16 + 75 is the square of 10
        check(&SPEC, "B=1 T=1 D=2 eps=75", "x=3,4", "", "o=0.3,0.4");
    }
}
