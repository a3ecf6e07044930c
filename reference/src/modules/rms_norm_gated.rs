//! Root-mean-square normalisation of every token with a gate on the result.
//!
//! $$ y_i = \frac{x_i}{\sqrt{\tfrac1D \sum_j x_j^2 + \epsilon}}\, w_i\, \phi(g_i) $$
//!
//! $\phi(g) = g\,\sigma(g)$, or $\sigma(g)$ with the attribute `sigmoid`. Well conditioned unless tokens are as small as √ε.
//!
//! Paper: Sun et al., *Retentive Network*, 2023, eq. 8, where the norm is one of groups.
//! Upstream: `FusedRMSNormGated` of `fla/modules/fused_norm_gate.py` in 0.6.0, with `activation` swish or sigmoid.

use ndarray::{Array, ArrayBase, ArrayViewD, Data, Dimension};

use super::rms_norm::normalise;
use crate::algebra::swish;
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
    let gate = if x.problem.flag("sigmoid") { F::sigmoid } else { swish };
    let eps = x.problem.number("eps").unwrap_or(EPS);
    vec![gated(&x.matrix("x"), &x.matrix("g").to_owned(), Some(x.tensor("weight")), eps, gate).into_dyn()]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rms_norm_gated",
    level: Level::Module,
    summary: "o = x / sqrt(mean x² + eps) * weight * act(g)",
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 8",
    upstream: &["fla.modules.FusedRMSNormGated"],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("g", dims![B, T, D], Domain::Normal),
        Port::new("weight", dims![D], Domain::Uniform(0.5, 1.5)).presence(Presence::OrOne),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("sigmoid", false, "gate by σ(g) instead of g σ(g)"),
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
        let inputs = "x=1,7 g=0,0 weight=5,10";
        check(&SPEC, "B=1 T=1 D=2 eps=0", inputs, "d_o=1,1", "o=0,0 d_g=0.5,7 d_x=0,0");
        check(&SPEC, "B=1 T=1 D=2 eps=0 sigmoid=true", inputs, "d_o=1,0", "o=0.5,7 d_weight=0.1,0 d_g=0.25,0");
    }
}
