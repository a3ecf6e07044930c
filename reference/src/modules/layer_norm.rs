//! Layer normalisation of every token, with a residual added first.
//!
//! $$ s = x + r, \qquad y_i = \frac{s_i - \mu}{\sqrt{\sigma^2 + \epsilon}}\, w_i + b_i $$
//!
//! with mean μ and (biased) variance σ² over the channels. Outputs: `o` = y, and the sum `s` (upstream's `prenorm`).
//! Ill conditioned where the channels of a token differ by less than √ε.
//!
//! Paper: Ba, Kiros & Hinton, *Layer Normalization*, 2016, eq. 4.
//! Upstream: `LayerNorm` and `layer_norm` of `fla/modules/norm/layernorm.py` in 0.6.0, without a bias unless asked.

use ndarray::{Array2, ArrayBase, Data, Ix2};

use crate::algebra::{plus, stored, times};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `(x - mean) / √(variance + eps)` of every row.
pub fn normalise<F: Real, S: Data<Elem = F>>(x: &ArrayBase<S, Ix2>, eps: f64) -> Array2<F> {
    let mut y = x.to_owned();
    for mut row in y.rows_mut() {
        let width = F::from_f64(row.len() as f64);
        let mean = row.iter().copied().sum::<F>() / width;
        row.mapv_inplace(|x| x - mean);
        let variance = row.iter().map(|&x| x * x).sum::<F>() / width;
        let root = (variance + F::from_f64(eps)).sqrt();
        row.mapv_inplace(|x| x / root);
    }
    y
}

fn layer_norm<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let y = normalise(&sum, x.problem.number("eps").unwrap_or(EPS));
    vec![plus(times(y, x.tensor("weight")), x.tensor("bias")).into_dyn(), sum.into_dyn()]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "layer_norm",
    level: Level::Module,
    summary: "s = x + residual;  o = (s - mean) / sqrt(var + eps) * weight + bias",
    source: "Ba, Kiros & Hinton 2016 (arXiv 1607.06450), eq. 4",
    upstream: &[
        "fla.modules.LayerNorm",
        "fla.modules.norm.layernorm.layer_norm",
        "fla.modules.norm.layernorm.layer_norm_ref",
    ],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("weight", dims![D], Domain::Uniform(0.5, 1.5)).presence(Presence::OrOne),
        Port::new("bias", dims![D], Domain::Normal).presence(Presence::OrZero),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("s", dims![B, T, D], Domain::Normal)],
    attrs: &[Attr::number("eps", EPS, 0.25, "added to the variance")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(layer_norm),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn two_channels_become_their_order() {
        let inputs = "x=1,2 residual=1,2 weight=3,5 bias=0,1";
        check(&SPEC, "B=1 T=1 D=2 eps=0", inputs, "d_o=1,1", "o=-3,6 s=2,4 d_weight=-1,1 d_bias=1,1 d_x=0,0");
    }
}
