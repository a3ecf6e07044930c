//! Root-mean-square normalisation of every token, with a residual added first.
//!
//! $$ s = x + r, \qquad y_i = \frac{s_i}{\sqrt{\tfrac1D \sum_j s_j^2 + \epsilon}}\, w_i + b_i $$
//!
//! Outputs: `o` = y, and the sum `s` (upstream's `prenorm`). Well conditioned unless the tokens are as small as √ε,
//! where the derivative grows to 1/√ε.
//!
//! Paper: Zhang & Sennrich, *Root Mean Square Layer Normalization*, 2019, eq. 4 (without ε, bias and residual).
//! Upstream: `RMSNorm` and `rms_norm` of `fla/modules/norm/layernorm.py` in 0.6.0.

use ndarray::{Array, ArrayBase, ArrayViewD, Axis, Data, Dimension};

use crate::algebra::{plus, stored, times};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `x / √(mean x² + eps)` along the last axis, times `weight` of that axis.
pub fn normalise<F: Real, S: Data<Elem = F>, D: Dimension>(
    x: &ArrayBase<S, D>,
    weight: Option<ArrayViewD<'_, F>>,
    eps: f64,
) -> Array<F, D> {
    let mut y = x.to_owned();
    let last = Axis(y.ndim() - 1);
    for mut lane in y.lanes_mut(last) {
        let mean = lane.iter().map(|&x| x * x).sum::<F>() / F::from_f64(lane.len() as f64);
        let root = (mean + F::from_f64(eps)).sqrt();
        lane.mapv_inplace(|x| x / root);
    }
    match weight {
        Some(weight) => times(y, weight),
        None => y,
    }
}

fn rms_norm<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let y = normalise(&sum, Some(x.tensor("weight")), x.problem.number("eps").unwrap_or(EPS));
    vec![plus(y, x.tensor("bias")).into_dyn(), sum.into_dyn()]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rms_norm",
    level: Level::Module,
    summary: "s = x + residual;  o = s / sqrt(mean s² + eps) * weight + bias",
    source: "Zhang & Sennrich 2019 (arXiv 1910.07467), eq. 4",
    upstream: &[
        "fla.modules.RMSNorm",
        "fla.modules.norm.layernorm.rms_norm",
        "fla.modules.norm.layernorm.rms_norm_ref",
    ],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("weight", dims![D], Domain::Uniform(0.5, 1.5)).presence(Presence::OrOne),
        Port::new("bias", dims![D], Domain::Normal).presence(Presence::OrZero),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("s", dims![B, T, D], Domain::Normal)],
    attrs: &[Attr::number("eps", EPS, 0.25, "added to the mean of squares")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(rms_norm),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_root_of_the_mean_of_squares() {
        // s = (1, 7): the mean of squares is 25; d_s is w·d_o/5 less its part along s
        let inputs = "x=3,4 residual=-2,3 weight=2,1 bias=0,1";
        check(&SPEC, "B=1 T=1 D=2 eps=0", inputs, "", "o=0.4,2.4 s=1,7");
        check(&SPEC, "B=1 T=1 D=2 eps=0", inputs, "d_o=1,0", "d_x=0.392,-0.056 d_weight=0.2,0 d_bias=1,0");
    }
}
