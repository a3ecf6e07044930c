//! The diagonal preconditioner of keys: channels seen often are written less, channels seen seldom more.
//!
//! $$ A_t = e^{g_t} A_{t-1} + \beta_t k_t^2, \quad r_t = \ln(A_t + \epsilon) - c, \quad
//!    o_t = k_t \, x^{-r_t / (1 + |r_t|)} $$
//!
//! with $c$ = `log_atk_scale` of the head. Each channel is by itself, and A holds the current key already.
//!
//! Well conditioned for $g \le 0$ and an A that is not negative: the factor lies between x and 1/x. Where A is as small
//! as ε, the logarithm is steep: gradients by a0 and beta grow with 1/ε. At $r = 0$ the second derivative jumps.
//!
//! # Errors
//! C1: x is positive. C2: eps is positive.
//!
//! Paper: *Preconditioned DeltaNet*, 2026 (arXiv 2604.21100), the diagonal preconditioner.
//! Upstream: `fla/ops/atk` of 0.6.0: a forward and a backward function without autograd, which expect unit keys and
//! round the last A to the key's type; g is `log_g`, and a missing `log_atk_scale` is -0.2 (here it is always given).

use ndarray::{Array1, arr0};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// Upstream's range of the factor.
const RANGE: f64 = 1.5;
/// Upstream's addend below the logarithm.
const EPSILON: f64 = 1e-6;

fn atk<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let (k, g, beta, center) = (u.vector("k"), u.vector("g"), u.vector("beta"), u.scalar("log_atk_scale"));
    let number = |name, default| F::from_f64(u.problem.number(name).unwrap_or(default));
    let (log_range, eps) = (number("x", RANGE).ln(), number("eps", EPSILON));
    let mut a = u.scalar("a0");
    let mut o = Array1::from_elem(u.tokens, F::zero());
    for t in 0..u.tokens {
        a = g[t].exp() * a + beta[t] * (k[t] * k[t]);
        let r = (a + eps).ln() - center;
        let magnitude = if r.value() < 0.0 { -r } else { r };
        o[t] = k[t] * (-log_range * (r / (F::one() + magnitude))).exp();
    }
    vec![o.into_dyn(), arr0(a).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "atk",
    level: Level::Op,
    summary: "A = exp(g) A + β k²;  r = ln(A + eps) − c;  o = k x^(−r / (1 + |r|))",
    source: "Preconditioned DeltaNet 2026 (arXiv 2604.21100)",
    upstream: &["fla.ops.atk.chunk_atk_bwd", "fla.ops.atk.chunk_atk_fwd", "fla.ops.atk.recompute_atk_fwd"],
    sizes: dims![B, T, H, K],
    inputs: &[
        Port::new("k", dims![B, T, H, K], Domain::UnitKey),
        Port::new("beta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("g", dims![B, T, H], Domain::LogDecay).single(),
        Port::new("a0", dims![N, H, K], Domain::Fraction).single().presence(Presence::OrZero),
        Port::new("log_atk_scale", dims![H], Domain::Uniform(-1.0, 0.0)).single(),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, K], Domain::Normal),
        Port::new("at", dims![N, H, K], Domain::Fraction).single(),
    ],
    attrs: &[
        Attr::number("x", RANGE, 2.0, "the factor is between x and 1/x"),
        Attr::number("eps", EPSILON, 0.0625, "added to A before the logarithm"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "x is positive",
            holds: |p| p.number("x").is_some_and(|x| x > 0.0),
            break_it: |p| _ = p.attrs.insert("x", Value::Number(0.0)),
            mend: |p| _ = p.attrs.insert("x", Value::Number(RANGE)),
        },
        Constraint {
            label: "C2",
            text: "eps is positive",
            holds: |p| p.number("eps").is_some_and(|eps| eps > 0.0),
            break_it: |p| _ = p.attrs.insert("eps", Value::Number(0.0)),
            mend: |p| _ = p.attrs.insert("eps", Value::Number(EPSILON)),
        },
    ],
    independent: dims![B, H, K],
    states: &[State::elementwise("a0", "at")],
    function: function!(atk),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn at_the_centre_the_slope_is_that_of_the_range() {
        // A + ε = 1/2 + 4/16 + 1/4 = 1 and c = 0: the factor is 1, and its slope by A is −ln 4
        let slope = -2.0 * 4f64.ln();
        let expected = format!(
            "o=2 at=0.75 d_a0={} d_g={} d_beta={} d_log_atk_scale={} d_k={}",
            0.5 * slope,
            0.5 * slope,
            4.0 * slope,
            -slope,
            1.0 + 0.25 * slope,
        );
        let inputs = format!("k=2 beta=0.0625 g={HALF} a0=1 log_atk_scale=0");
        check(&SPEC, "B=1 T=1 H=1 K=1 x=4 eps=0.25", &inputs, "d_o=1", &expected);
    }

    #[test]
    fn two_channels_on_either_side_of_the_centre() {
        // A + ε is e in one channel and 1/e in the other: r = ±1, factors 4^(∓1/2); then A stays while beta is 0
        let (e, eps) = (std::f64::consts::E, 0.25);
        let inputs = format!("k=3,3,5,7 beta=0,0 g=0,0 a0={},{} log_atk_scale=0", e - eps, 1.0 / e - eps);
        let expected = format!("o=1.5,6,2.5,14 at={},{}", e - eps, 1.0 / e - eps);
        check(&SPEC, "B=1 T=2 H=1 K=2 x=4 eps=0.25", &inputs, "", &expected);
    }
}
