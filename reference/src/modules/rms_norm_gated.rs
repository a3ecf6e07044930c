//! Root-mean-square normalisation of every token, with a residual added first and a gate on the result.
//!
//! $$ s = x + r, \qquad o_i = \Big( \frac{s_i}{\sqrt{\tfrac1D \sum_j s_j^2 + \epsilon}}\, w_i + b_i \Big)\, \phi(g_i) $$
//!
//! φ = `activation` is $g\,\sigma(g)$ or $\sigma(g)$. Outputs: `o`, and the sum `s` (upstream's `prenorm`). Well
//! conditioned unless tokens are as small as √ε.
//!
//! Paper: Sun et al., *Retentive Network*, 2023, eq. 8, where the norm is one of groups.
//! Upstream: `FusedRMSNormGated` of `fla/modules/norm/fused_norm_gate.py` in 0.6.0, and `FusedRMSNormSwishGate`, the
//! same with swish. Only the function takes a bias, and its ε is 1e-6.

use ndarray::{Array, ArrayBase, ArrayViewD, Data, Dimension};

use super::rms_norm::normalise;
use crate::algebra::{plus, stored};
use crate::mixer::activation;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `normalise(x) · weight · gate(g)` along the last axis.
pub fn gated<F: Real, S: Data<Elem = F>, D: Dimension>(
    x: &ArrayBase<S, D>,
    g: &Array<F, D>,
    weight: Option<ArrayViewD<'_, F>>,
    eps: f64,
    gate: fn(F) -> F,
) -> Array<F, D> {
    normalise(x, weight, eps) * g.mapv(gate)
}

fn rms_norm_gated<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let y = normalise(&sum, Some(x.tensor("weight")), x.problem.number("eps").unwrap_or(EPS));
    let gate = x.matrix("g").mapv(activation(x.problem.word("activation")));
    vec![(plus(y, x.tensor("bias")) * gate).into_dyn(), sum.into_dyn()]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rms_norm_gated",
    level: Level::Module,
    summary: "s = x + residual;  o = (s / sqrt(mean s² + eps) * weight + bias) * act(g)",
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 8",
    upstream: &[
        "fla.modules.FusedRMSNormGated",
        "fla.modules.FusedRMSNormSwishGate",
        "fla.modules.norm.fused_norm_gate.rms_norm_gated",
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
        Attr::number("eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(rms_norm_gated),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_gate_of_zero_halves_or_shuts() {
        let (fields, inputs) = ("B=1 T=1 D=2 eps=0", "x=1,3 residual=0,4 g=0,0 weight=5,10 bias=0,1");
        check(&SPEC, fields, inputs, "d_o=1,1", "o=0,0 s=1,7 d_g=0.5,7.5 d_x=0,0");
        let half = "o=0.5,7.5 d_weight=0.1,0 d_bias=0.5,0 d_g=0.25,0";
        check(&SPEC, &format!("{fields} activation=sigmoid"), inputs, "d_o=1,0", half);
    }
}
