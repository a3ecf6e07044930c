//! Kimi delta attention that writes with a preconditioned key.
//!
//! $$ A_t = e^{\gamma_t} A_{t-1} + \alpha_t k_t^2, \quad r_t = \ln(A_t + \epsilon) - c, \quad
//!    w_t = k_t \, x^{-r_t / (1 + |r_t|)} $$
//! $$ h'_t = \operatorname{diag}(e^{g_t}) h_{t-1}, \quad u_t = \beta_t (v_t - h'^\top_t k_t), \quad
//!    h_t = h'_t + w_t u_t^\top, \quad o_t = s\, h_t^\top q_t $$
//!
//! with $\gamma$ = `g_atk`, $\alpha$ = `beta_atk`, $c$ = `log_atk_scale`; the first line is per channel. Two prologues
//! may be part of the call: `qk_l2norm` replaces q, k by $x / \sqrt{\sum x^2 + 10^{-6}}$ in both lines; `softplus_gate`
//! replaces g by $-e^{a} \ln(1 + e^{g + b})$ with $a$ = `A_log` of the head and $b$ = `dt_bias` of the channel.
//!
//! Conditioning is that of the preconditioned gated delta rule: contractive factors while $g \le 0$ and
//! $0 \le \beta \lVert k \rVert^2 \max(x, 1/x) \le 2$, so keys must be of unit length or `qk_l2norm` set; A must not be
//! negative, and its logarithm is steep where it is as small as ε.
//!
//! # Errors
//! C1: the value heads are a multiple of the key heads. C2: x is positive. C3: eps is positive.
//!
//! Paper: *Preconditioned DeltaNet*, 2026 (arXiv 2604.21100), the diagonal preconditioner.
//! Upstream: `fla/ops/precond_kda` of 0.6.0, whose chunk form always normalises and rounds the last A to the key's
//! type, and whose naive form never normalises; `dt_bias` is flat, a missing `log_atk_scale` is -0.2 (here it is always
//! given), and no form accepts that beta is missing. There is a gate with a lower bound besides. Only the recurrent form,
//! which has no gradients, takes value heads in groups, and its kernel reads `g_atk`, `beta_atk`, `log_atk_scale` and A by
//! value heads, although its documentation gives them to key heads, as here.

use ndarray::{Array1, Array2, Array3, Axis};

use crate::real::Real;
use crate::rounded::summed;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;
/// Upstream's range of the preconditioner.
const RANGE: f64 = 1.5;
/// Upstream's addend below the logarithm.
const EPSILON: f64 = 1e-6;

fn precond_kda<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, beta) = (x.cube("v"), x.matrix("beta"));
    let (g_atk, beta_atk) = (x.vector("g_atk"), x.vector("beta_atk"));
    let (q, k) = (normalised(x, "q"), normalised(x, "k"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (g, mut h, mut a) = (log_decays(x), x.cube("h0").to_owned(), x.vector("a0").to_owned());
    let mut o = Array3::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let keep = g_atk[t].exp();
        for (a_i, &k_i) in a.iter_mut().zip(k.row(t)) {
            *a_i = keep * *a_i + beta_atk[t] * (k_i * k_i);
        }
        let w: Array1<F> = k.row(t).iter().zip(&a).map(|(&k_i, &a_i)| k_i * preconditioner(x, a_i)).collect();
        let (v, mut o) = (v.index_axis(Axis(0), t), o.index_axis_mut(Axis(0), t));
        for (head, mut h) in h.outer_iter_mut().enumerate() {
            for (mut h_row, &g_i) in h.rows_mut().into_iter().zip(g.index_axis(Axis(0), t).row(head)) {
                let decay = g_i.exp();
                h_row.mapv_inplace(|h_ij| decay * h_ij);
            }
            let step = |(h_col, &v_j)| beta[[t, head]] * (v_j - F::dot(k.row(t), h_col));
            let u: Vec<F> = h.columns().into_iter().zip(v.row(head)).map(step).collect();
            for ((i, j), h_ij) in h.indexed_iter_mut() {
                *h_ij = h_ij.mac(w[i], u[j]);
            }
            for (o_j, h_col) in o.row_mut(head).iter_mut().zip(h.columns()) {
                *o_j = scale * F::dot(q.row(t), h_col);
            }
        }
    }
    vec![o.into_dyn(), h.into_dyn(), a.into_dyn()]
}

/// The factor on a channel of the key, between x and 1/x.
fn preconditioner<F: Real>(x: &Unit<'_, F>, a: F) -> F {
    let number = |name, default| x.problem.number(name).unwrap_or(default);
    let r = (a + F::from_f64(number("eps", EPSILON))).ln() - x.scalar("log_atk_scale");
    let magnitude = if r.value() < 0.0 { -r } else { r };
    (F::from_f64(-number("x", RANGE).ln()) * (r / (F::one() + magnitude))).exp()
}

/// `q` or `k` as the recurrence uses it: `[T, K]`.
fn normalised<F: Real>(x: &Unit<'_, F>, name: &str) -> Array2<F> {
    let mut rows = x.matrix(name).to_owned();
    if x.problem.flag("qk_l2norm") {
        for mut row in rows.rows_mut() {
            let norm = (row.iter().map(|&x| x * x).sum::<F>() + F::from_f64(L2_EPSILON)).sqrt();
            row.mapv_inplace(|x| x / norm);
        }
    }
    rows
}

/// `[T, HV/H, K]`.
fn log_decays<F: Real>(x: &Unit<'_, F>) -> Array3<F> {
    let mut g = x.cube("g").to_owned();
    if x.problem.flag("softplus_gate") {
        let rate = x.vector("A_log").mapv(|a| -a.exp());
        for mut token in g.outer_iter_mut() {
            token.zip_mut_with(&x.matrix("dt_bias"), |g_i, &b_i| *g_i = *g_i + b_i);
            for (mut row, &rate) in token.rows_mut().into_iter().zip(&rate) {
                row.mapv_inplace(|g_i| rate * g_i.softplus());
            }
        }
        summed(&mut g);
    }
    g
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "precond_kda",
    level: Level::Op,
    summary: "A = exp(g_atk) A + beta_atk k²;  h = diag(exp(g)) h;  h += β M(A) k (v − hᵀ k)ᵀ;  o = scale hᵀ q",
    source: "Preconditioned DeltaNet 2026 (arXiv 2604.21100)",
    upstream: &[
        "fla.ops.precond_kda.chunk_precond_kda",
        "fla.ops.precond_kda.fused_recurrent_precond_kda",
        "fla.ops.precond_kda.naive_recurrent_precond_kda",
    ],
    sizes: dims![B, T, H, HV, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, HV, V], Domain::Normal),
        Port::new("g", dims![B, T, HV, K], Domain::LogDecay).single().domain_if(&[("softplus_gate", Domain::Normal)]),
        Port::new("g_atk", dims![B, T, H], Domain::LogDecay).single(),
        Port::new("beta_atk", dims![B, T, H], Domain::Fraction).single(),
        Port::new("beta", dims![B, T, HV], Domain::Fraction).single().presence(Presence::OrOne),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("a0", dims![N, H, K], Domain::Fraction).single().presence(Presence::OrZero),
        Port::new("log_atk_scale", dims![H], Domain::Uniform(-1.0, 0.0)).single(),
        Port::new("A_log", dims![HV], Domain::LogRate).single().when("softplus_gate"),
        Port::new("dt_bias", dims![HV, K], Domain::Normal).single().presence(Presence::OrZero).when("softplus_gate"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, HV, V], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("at", dims![N, H, K], Domain::Fraction).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("qk_l2norm", false, "normalise q and k to unit length first"),
        Attr::flag("softplus_gate", false, "g is raw: −exp(A_log) softplus(g + dt_bias)"),
        Attr::number("x", RANGE, 2.0, "the preconditioner is between x and 1/x"),
        Attr::number("eps", EPSILON, 0.0625, "added to A before the logarithm"),
    ],
    constraints: &[
        Constraint::grouped_values("C1"),
        Constraint {
            label: "C2",
            text: "x is positive",
            holds: |p| p.number("x").is_some_and(|x| x > 0.0),
            break_it: |p| _ = p.attrs.insert("x", Value::Number(0.0)),
            mend: |p| _ = p.attrs.insert("x", Value::Number(RANGE)),
        },
        Constraint {
            label: "C3",
            text: "eps is positive",
            holds: |p| p.number("eps").is_some_and(|eps| eps > 0.0),
            break_it: |p| _ = p.attrs.insert("eps", Value::Number(0.0)),
            mend: |p| _ = p.attrs.insert("eps", Value::Number(EPSILON)),
        },
    ],
    // value heads that share a key head share its preconditioner too
    independent: dims![B, H],
    states: &[State::new("h0", "ht"), State::elementwise("a0", "at")],
    function: function!(precond_kda),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn channels_decay_apart_and_are_preconditioned_apart() {
        // A + ε = 1 and e, c = 0: factors 1 and 4^(−1/2); rows 8 → 4 and 4 → 1, of which k reads 5 of 11
        let a0 = std::f64::consts::E - 1.0;
        let inputs = format!(
            "q=1,2 k=1,1 v=11 g={HALF},{} g_atk=0 beta_atk=0.5 beta=0.5 h0=8,4 a0=0,{a0} log_atk_scale=0",
            2.0 * HALF
        );
        let expected = format!("ht=7,2.5 o=12 at=0.5,{} d_q=7,2.5 d_v=1 d_beta=12 d_h0=0,0.25 d_g=0,1", a0 + 0.5);
        check(&SPEC, "B=1 T=1 H=1 HV=1 K=2 V=1 scale=1 x=4 eps=0.5", &inputs, "d_o=1", &expected);
    }

    #[test]
    fn prologues_at_values_that_are_known() {
        // softplus of 0 is ln 2, so both channels decay by 1/2; a range of 1 leaves the key alone
        let inputs = "q=3,4 k=0,2 v=6 g=1,2 g_atk=0 beta_atk=0 beta=0.5 h0=8,8 a0=1,1 log_atk_scale=0 A_log=0 \
                      dt_bias=-1,-2";
        let (q, k) = ((25.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
        let second = 4.0 + k * 0.5 * (6.0 - 4.0 * k);
        let expected = format!("ht=4,{second} o={} at=1,1", (3.0 * 4.0 + 4.0 * second) / q);
        let fields = "B=1 T=1 H=1 HV=1 K=2 V=1 scale=1 qk_l2norm=true softplus_gate=true x=1";
        check(&SPEC, fields, inputs, "", &expected);
    }
}
