//! Layer normalisation of every token, with a residual added first and a gate on the result.
//!
//! $$ s = x + r, \qquad o_i = \Big( \frac{s_i - \mu}{\sqrt{\sigma^2 + \epsilon}}\, w_i + b_i \Big)\, \phi(g_i) $$
//!
//! φ = `activation` is $g\,\sigma(g)$ or $\sigma(g)$. Outputs: `o`, and the sum `s` (upstream's `prenorm`). Ill
//! conditioned where the channels of a token differ by less than √ε.
//!
//! Paper: Sun et al., *Retentive Network*, 2023, eq. 8, where the norm is one of groups.
//! Upstream: `FusedLayerNormGated` of `fla/modules/norm/fused_norm_gate.py` in 0.6.0, and `FusedLayerNormSwishGate`,
//! the same with swish. The function's ε is 1e-6.

use super::layer_norm::normalise;
use crate::algebra::{plus, stored, times};
use crate::mixer::activation;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn layer_norm_gated<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let y = normalise(&sum, x.problem.number("eps").unwrap_or(EPS));
    let y = plus(times(y, x.tensor("weight")), x.tensor("bias"));
    let gate = x.matrix("g").mapv(activation(x.problem.word("activation")));
    vec![(y * gate).into_dyn(), sum.into_dyn()]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "layer_norm_gated",
    level: Level::Module,
    summary: "s = x + residual;  o = ((s - mean) / sqrt(var + eps) * weight + bias) * act(g)",
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 8",
    upstream: &[
        "fla.modules.FusedLayerNormGated",
        "fla.modules.FusedLayerNormSwishGate",
        "fla.modules.norm.fused_norm_gate.layer_norm_gated",
    ],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("g", dims![B, T, D], Domain::Normal),
        Port::scale("weight", dims![D]),
        Port::bias("bias", dims![D], &[1]),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("s", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::word("activation", &["swish", "sigmoid"], "the function of the gate"),
        Attr::number("eps", EPS, 0.25, "added to the variance"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(layer_norm_gated),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_gate_of_zero_halves_or_shuts() {
        let (fields, inputs) = ("B=1 T=1 D=2 eps=0", "x=1,2 residual=1,2 g=0,0 weight=3,5 bias=0,1");
        check(&SPEC, fields, inputs, "d_o=1,1", "o=0,0 s=2,4 d_g=-1.5,3 d_x=0,0 d_weight=0,0");
        let halved = "o=-1.5,3 d_bias=0.5,0.5 d_weight=-0.5,0.5 d_g=-0.75,1.5";
        check(&SPEC, &format!("{fields} activation=sigmoid"), inputs, "d_o=1,1", halved);
    }
}
