//! The log decay of Kimi delta attention, for each channel, from what its projection gives.
//!
//! $$ o_t = -e^{A} \ln(1 + e^{g_t + b}) \quad\text{or}\quad o_t = \ell\, \sigma\bigl(e^{A} (g_t + b)\bigr) $$
//!
//! with $A$ = `A_log` of the head, $b$ = `dt_bias` of the channel and $\ell$ = `lower_bound`, which the second form
//! keeps the logarithm above. Well conditioned everywhere; the second form saturates where $e^{A} |g + b|$ is large.
//!
//! # Errors
//! C1: `lower_bound` is negative.
//!
//! Paper: Kimi Team, *Kimi Linear: An Expressive, Efficient Attention Architecture*, 2025, for the first form.
//! Upstream: `fla/ops/kda/gate.py` of 0.6.0, where `dt_bias` is flat and `A_log` may be missing from the second form
//! alone; the softplus there is the logarithm of a sum that has been rounded.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn kda_gate<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (g, bias, rate) = (x.matrix("g"), x.vector("dt_bias"), x.scalar("A_log").exp());
    let gate = |g: F| match x.problem.number("lower_bound") {
        Some(bound) => F::from_f64(bound) * (rate * g).sigmoid(),
        None => -(g.softplus() * rate),
    };
    let o = Array2::from_shape_fn(g.dim(), |(t, i)| gate(g[[t, i]] + bias[i]));
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "kda_gate",
    level: Level::Op,
    summary: "o = −exp(A_log) softplus(g + dt_bias), or lower_bound sigmoid(exp(A_log) (g + dt_bias))",
    source: "Kimi Team 2025 (arXiv 2510.26692)",
    upstream: &[
        "fla.ops.kda.gate.fused_kda_gate",
        "fla.ops.kda.gate.naive_kda_gate",
        "fla.ops.kda.gate.naive_kda_lowerbound_gate",
    ],
    sizes: dims![B, T, H, K],
    inputs: &[
        Port::new("g", dims![B, T, H, K], Domain::Normal),
        Port::new("A_log", dims![H], Domain::LogRate).single().presence(Presence::OrZero),
        Port::new("dt_bias", dims![H, K], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, H, K], Domain::Normal).single()],
    attrs: &[Attr::auto("lower_bound", -5.0, "what the gate stays above, as a sigmoid does; auto is none: a softplus")],
    constraints: &[Constraint {
        label: "C1",
        text: "lower_bound is negative",
        holds: |p| p.number("lower_bound").is_none_or(|bound| bound < 0.0),
        break_it: |p| _ = p.attrs.insert("lower_bound", Value::Number(1.0)),
        mend: |p| _ = p.attrs.remove("lower_bound"),
    }],
    independent: dims![B, H],
    states: &[],
    function: function!(kda_gate),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_softplus_of_nothing_is_a_half_life() {
        let ln_2 = std::f64::consts::LN_2;
        let inputs = format!("g=1,2 A_log={} dt_bias=-1,-2", 3f64.ln());
        let expected = format!("o={},{} d_g=-3,-1.5 d_A_log={}", -3.0 * ln_2, -3.0 * ln_2, -9.0 * ln_2);
        check(&SPEC, "B=1 T=1 H=1 K=2", &inputs, "d_o=2,1", &expected);
    }

    #[test]
    fn a_bound_is_never_reached() {
        // the sigmoid of ln 3 is 3/4, its slope 3/16
        let ln_3 = 3f64.ln();
        let inputs = format!("g=1,{} A_log={} dt_bias=-1,0", 0.5 * ln_3, 2f64.ln());
        let expected = format!("o=-2.5,-3.75 d_g=-2.5,-1.875 d_dt_bias=-2.5,-1.875 d_A_log={}", -1.875 * 0.5 * ln_3);
        check(&SPEC, "B=1 T=1 H=1 K=2 lower_bound=-5", &inputs, "d_o=1,1", &expected);
    }
}
