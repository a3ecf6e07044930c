//! A projection with ternary weights of normalised activations in eight bits.
//!
//! $$ o = \hat W \hat y + b, \qquad y = \operatorname{norm}(x + r), \qquad
//! \hat y = \tfrac1s \operatorname{clip}_{-128}^{127} \lfloor s y \rceil, \quad s = \frac{127}{\max_i |y_i|}, \qquad
//! \hat W = \tfrac1a \operatorname{clip}_{-1}^{1} \lfloor a W \rceil, \quad a = \frac{1}{\overline{|W|}} $$
//!
//! s belongs to the token and a to the matrix; neither the greatest nor the mean counts as less than 1e-5. norm is that
//! of the root mean square, or with `rms` off that of mean and variance. Outputs: `o`, and the sum `s` (upstream's
//! `prenorm`).
//!
//! What a step function has for a derivative is of no use, so another one is meant: the straight-through estimator
//! takes $\partial \hat y / \partial y$ and $\partial \hat W / \partial W$ for 1, while values are the quantised ones.
//! Gradients here are those. Ill conditioned near the steps: an element that rounding moves across one changes by a
//! whole step.
//!
//! Paper: Ma et al., *The Era of 1-bit LLMs*, 2024, eq. 1 to 3; Wang et al., *BitNet*, 2023, eq. 4 and §2.2.
//! Upstream: `FusedBitLinear`, `BitLinear` and `layer_norm_linear_quant` of `fla/modules/fused_bitlinear.py` in 0.6.0.
//! Exact halves go away from zero in the fused form and to even numbers in `activation_quant`; the `bias` of
//! `BitLinear` has no effect. Activations are rounded to the storage type after they were quantised, and weights are
//! quantised in it.

use ndarray::{Array2, ArrayD, ArrayViewD, Ix2};

use super::group_norm::normalise;
use crate::algebra::{linear, plus, rank, stored, straight_through};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// Every row on a grid of eight bits.
pub fn quantised_tokens<F: Real>(mut y: Array2<F>) -> Array2<F> {
    for mut row in y.rows_mut() {
        let greatest = row.iter().map(|y| y.value().abs()).fold(LEAST, f64::max);
        row.mapv_inplace(|y| {
            let steps = (y.value() * (127.0 / greatest)).round().clamp(-128.0, 127.0);
            straight_through(y, steps / (127.0 / greatest))
        });
    }
    y
}

/// Every weight as −1, 0 or 1 times the mean of their sizes.
pub fn quantised_weight<F: Real>(weight: ArrayViewD<'_, F>) -> ArrayD<F> {
    let mean = weight.iter().map(|w| w.value().abs()).sum::<f64>() / weight.len().max(1) as f64;
    let mean = mean.max(LEAST);
    weight.mapv(|w| straight_through(w, (w.value() / mean).round_ties_even().clamp(-1.0, 1.0) * mean))
}

fn bit_linear<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let (weight, bias) = (x.tensor("norm.weight"), x.tensor("norm.bias"));
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let y = normalise(sum.view(), 1, weight, bias, eps, x.problem.flag("rms"));
    let o = rank::<F, Ix2>(linear(&quantised_tokens(y), quantised_weight(x.tensor("weight")).view()));
    vec![plus(o, x.tensor("bias")).into_dyn(), sum.into_dyn()]
}

const EPS: f64 = 1e-8;
const LEAST: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "bit_linear",
    level: Level::Module,
    summary: "s = x + residual;  o = ternary(W) int8(norm(s)) + bias",
    source: "Ma et al. 2024 (arXiv 2402.17764), eq. 1 to 3",
    upstream: &[
        "fla.modules.BitLinear",
        "fla.modules.FusedBitLinear",
        "fla.modules.fused_bitlinear.activation_quant",
        "fla.modules.fused_bitlinear.bit_linear",
        "fla.modules.fused_bitlinear.layer_norm_linear_quant",
        "fla.modules.fused_bitlinear.rms_norm_linear_quant",
        "fla.modules.norm.layernorm_quant.weight_quant",
    ],
    sizes: dims![B, T, D, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("weight", dims![I, D], &[1, 1]),
        Port::bias("bias", dims![I], &[1]),
        Port::scale("norm.weight", dims![D]).single(),
        Port::bias("norm.bias", dims![D], &[1]).single(),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, I], Domain::Normal), Port::new("s", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
        Attr::flag("rms", true, "divide by the root mean square, without taking the mean off"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(bit_linear),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn values_on_a_grid_and_derivatives_straight_through() {
        // the normed token is (0.2, 1.4), of which the former becomes 18/127 of the latter; of the weights only the first
        // is more than half the mean of 0.5
        let fields = "B=1 T=1 D=2 I=1 norm_eps=0 absent=norm.weight+norm.bias";
        let inputs = "x=1,3 residual=0,4 weight=0.9,-0.1 bias=2";
        let step = 18.0 * 1.4 / 127.0;
        let expected = format!("o={} s=1,7 d_weight={step},1.4 d_bias=1 d_x=0.098,-0.014", 2.0 + 0.5 * step);
        check(&SPEC, fields, inputs, "d_o=1", &expected);
    }

    #[test]
    fn a_token_of_zeros_stays_one() {
        let fields = "B=1 T=1 D=1 I=1 absent=norm.weight+norm.bias+residual+bias";
        check(&SPEC, fields, "x=0 weight=3", "d_o=1", "o=0 s=0 d_weight=0 d_x=30000");
    }
}
