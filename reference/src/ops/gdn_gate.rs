//! The log decay of gated delta networks, from what their projection gives: a rate of the head, a bias, a softplus.
//!
//! $$ o_t = -e^{A} \ln(1 + e^{g_t + b}) $$
//!
//! with $A$ = `A_log` and $b$ = `dt_bias` of the head. Well conditioned everywhere: relative errors of the result are
//! those of $g + b$ times $|g + b|$ at most, where it is not near 0. Formed as the logarithm of a sum that has been
//! rounded, it is lost below about −17 in single precision: `ln_1p` is needed.
//!
//! Paper: Dao & Gu, *Transformers are SSMs*, 2024, the discretisation of $A$ by a softplus; as a gate: Yang, Kautz &
//! Hatamizadeh, *Gated Delta Networks*, 2024.
//! Upstream: `fla/ops/gated_delta_rule/gate.py` of 0.6.0, whose softplus is that logarithm of a rounded sum.

use ndarray::Array1;

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gdn_gate<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (rate, bias) = (-x.scalar("A_log").exp(), x.scalar("dt_bias"));
    let o: Array1<F> = x.vector("g").mapv(|g| rate * (bias + g).softplus());
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gdn_gate",
    level: Level::Op,
    summary: "o = −exp(A_log) softplus(g + dt_bias)",
    source: "Dao & Gu 2024 (arXiv 2405.21060); Yang, Kautz & Hatamizadeh 2024 (arXiv 2412.06464)",
    upstream: &["fla.ops.gated_delta_rule.gate.fused_gdn_gate", "fla.ops.gated_delta_rule.gate.naive_gdn_gate"],
    sizes: dims![B, T, H],
    inputs: &[
        Port::new("g", dims![B, T, H], Domain::Normal),
        Port::new("A_log", dims![H], Domain::LogRate).single(),
        Port::new("dt_bias", dims![H], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, H], Domain::Normal).single()],
    attrs: &[],
    constraints: &[],
    independent: dims![B, H],
    states: &[],
    function: function!(gdn_gate),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_softplus_of_nothing_is_a_half_life() {
        // softplus(0) = ln 2 with slope 1/2
        let ln_2 = std::f64::consts::LN_2;
        let expected = format!("o={},{} d_g=-3,-3 d_A_log={} d_dt_bias=-6", -3.0 * ln_2, -3.0 * ln_2, -12.0 * ln_2);
        let inputs = format!("g=1,1 A_log={} dt_bias=-1", 3f64.ln());
        check(&SPEC, "B=1 T=2 H=1", &inputs, "d_o=2,2", &expected);
    }

    #[test]
    fn far_below_it_is_an_exponential() {
        check(&SPEC, "B=1 T=1 H=1", "g=-40 A_log=0 dt_bias=0", "", &format!("o={}", -(-40f64).exp()));
    }
}
