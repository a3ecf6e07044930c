//! A normalisation, a gate on what comes out of it, and a projection.
//!
//! $$ o = W \big( \operatorname{norm}(x + r) \odot g\,\sigma(g) \big) + b $$
//!
//! norm is that of the root mean square, or with `rms` off that of mean and variance, with `norm_weight` and
//! `norm_bias`. Outputs: `o`, and the sum `s` (upstream's `prenorm`). Ill conditioned where tokens are as small as √ε,
//! or their channels differ by less.
//!
//! Paper: Sun et al., *Retentive Network*, 2023, eq. 8, where the norm is one of groups.
//! Upstream: `rms_norm_swish_gate_linear` and `layer_norm_swish_gate_linear` of `fla/modules/norm/fused_norm_gate.py`
//! in 0.6.0, whose ε is 1e-6 unless given, and the classes that hold the norm's weight alone, whose ε is 1e-5.

use ndarray::Ix2;

use super::group_norm::normalise;
use crate::algebra::{linear, plus, rank, stored, swish};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn norm_gate_linear<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let (weight, bias) = (x.tensor("norm_weight"), x.tensor("norm_bias"));
    let eps = x.problem.number("eps").unwrap_or(EPS);
    let y = normalise(sum.view(), 1, weight, bias, eps, x.problem.flag("rms")) * x.matrix("g").mapv(swish);
    let o = rank::<F, Ix2>(linear(&y, x.tensor("linear_weight")));
    vec![plus(o, x.tensor("linear_bias")).into_dyn(), sum.into_dyn()]
}

const EPS: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "norm_gate_linear",
    level: Level::Module,
    summary: "s = x + residual;  o = W (norm(s) * swish(g)) + bias",
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 8",
    upstream: &[
        "fla.modules.FusedLayerNormSwishGateLinear",
        "fla.modules.FusedRMSNormSwishGateLinear",
        "fla.modules.norm.FusedLayerNormGatedLinear",
        "fla.modules.norm.FusedRMSNormGatedLinear",
        "fla.modules.norm.fused_norm_gate.layer_norm_swish_gate_linear",
        "fla.modules.norm.fused_norm_gate.rms_norm_swish_gate_linear",
    ],
    sizes: dims![B, T, D, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("g", dims![B, T, D], Domain::Normal),
        Port::scale("norm_weight", dims![D]),
        Port::bias("norm_bias", dims![D], &[1]),
        Port::weight("linear_weight", dims![I, D], &[1, 1]),
        Port::bias("linear_bias", dims![I], &[1]),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, I], Domain::Normal), Port::new("s", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::number("eps", EPS, 0.25, "added to the variance"),
        Attr::flag("rms", true, "divide by the root mean square, without taking the mean off"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(norm_gate_linear),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_shut_gate_leaves_the_bias_and_its_own_gradient() {
        // the normed token is (1/5, 7/5), and the slope of the gate at 0 is 1/2
        let inputs = "x=1,3 residual=0,4 g=0,0 norm_weight=1,1 linear_weight=10,20 linear_bias=3";
        let expected = "o=3 s=1,7 d_g=1,14 d_linear_weight=0,0 d_linear_bias=1 d_x=0,0";
        check(&SPEC, "B=1 T=1 D=2 I=1 eps=0 absent=norm_bias", inputs, "d_o=1", expected);
    }

    #[test]
    fn the_bias_of_the_norm_is_gated_too() {
        let open = 1.0 / (1.0 + (-1f64).exp());
        let inputs = "x=1,3 g=1,1 norm_bias=4,4 linear_weight=1,2";
        let fields = "B=1 T=1 D=2 I=1 eps=0 rms=false absent=norm_weight+linear_bias+residual";
        check(&SPEC, fields, inputs, "", &format!("o={} s=1,3", 13.0 * open));
    }
}
