//! The delta rule with a scalar decay and heavy-ball momentum: two states.
//!
//! $$ e_t = h_{t-1}^\top \tilde p_t - v_t, \quad m_t = e^{\mu_t} m_{t-1} + \eta_t k_t e_t^\top, \quad
//!    h_t = e^{g_t} h_{t-1} - \beta_t m_t, \quad o_t = s\, h_t^\top q_t $$
//!
//! with $\mu$ = `log_mu`, and $\tilde p = e^{g} p$ with `p_times_alpha`, else $p$. Where k is of unit length
//! and $\tilde p = k$, stable while $0 \le \beta \eta \le (1 + e^{g})(1 + e^{\mu})$ with $g, \mu \le 0$, and
//! oscillating over much of that range; with a p that points elsewhere states may grow with T. `qk_l2norm` replaces q, k and p by
//! $x / \sqrt{\sum x^2 + 10^{-6}}$.
//!
//! Paper: none is named upstream; the recurrence is Polyak's heavy ball, 1964, on the regression loss of Yang,
//! Kautz & Hatamizadeh, *Gated Delta Networks*, 2024.
//! Upstream: `fla/ops/momentum_delta_rule` of 0.6.0, where g is `log_alpha`, the states are one tensor
//! `[2, N, H, K, V]`, and `use_qk_l2norm_in_kernel` is on unless told otherwise. A missing p is k there and a missing
//! beta or eta 1: here all are given. The chunk form takes the logarithm of beta + 1e-6, and packed sequences raise in
//! both forms.

use ndarray::{Array2, Zip};

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn momentum_delta_rule<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, g, log_mu) = (x.matrix("v"), x.vector("g"), x.vector("log_mu"));
    let (beta, eta) = (x.vector("beta"), x.vector("eta"));
    let [q, k, p] = ["q", "k", "p"].map(|name| normalised(x, name));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (mut h, mut m) = (x.matrix("h0").to_owned(), x.matrix("m0").to_owned());
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let (alpha, mu) = (g[t].exp(), log_mu[t].exp());
        let p = if x.problem.flag("p_times_alpha") { p.row(t).mapv(|p_i| alpha * p_i) } else { p.row(t).to_owned() };
        let step = |(h_col, &v_j)| eta[t] * (F::dot(p.view(), h_col) - v_j);
        let e: Vec<F> = h.columns().into_iter().zip(v.row(t)).map(step).collect();
        for (mut m_row, &k_i) in m.rows_mut().into_iter().zip(k.row(t)) {
            for (m_ij, &e_j) in m_row.iter_mut().zip(&e) {
                *m_ij = (mu * *m_ij).mac(k_i, e_j);
            }
        }
        Zip::from(&mut h).and(&m).for_each(|h_ij, &m_ij| *h_ij = alpha * *h_ij - beta[t] * m_ij);
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn(), m.into_dyn()]
}

/// `q`, `k` or `p` as the recurrence uses it: `[T, K]`.
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

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "momentum_delta_rule",
    level: Level::Op,
    summary: "m = exp(log_mu) m + η k (hᵀ p̃ − v)ᵀ;  h = exp(g) h − β m;  o = scale hᵀ q",
    source: "Polyak 1964 on the loss of Yang, Kautz & Hatamizadeh 2024 (arXiv 2412.06464)",
    upstream: &[
        "fla.ops.momentum_delta_rule.chunk_momentum_delta_rule",
        "fla.ops.momentum_delta_rule.chunk_momentum_delta_rule_ref",
        "fla.ops.momentum_delta_rule.fused_recurrent_momentum_delta_rule",
        "fla.ops.momentum_delta_rule.recurrent_momentum_delta_rule_ref",
    ],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, H], Domain::LogDecay).single(),
        Port::new("log_mu", dims![B, T, H], Domain::LogDecay).single(),
        Port::new("p", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("beta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("eta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("m0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("mt", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("qk_l2norm", false, "normalise q, k and p to unit length first"),
        Attr::flag("p_times_alpha", true, "read the decayed state: p times exp(g)"),
    ],
    constraints: &[],
    independent: dims![B, H],
    states: &[State::new("h0", "ht"), State::new("m0", "mt")],
    function: function!(momentum_delta_rule),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn a_full_step_without_momentum_replaces_a_row() {
        let inputs = "q=1,1 k=1,0 p=1,0 v=5,6 g=0 log_mu=-800 beta=1 eta=1 h0=1,2,3,4 m0=9,9,9,9";
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 scale=1", inputs, "", "mt=-4,-4,0,0 ht=5,6,3,4 o=8,10");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // e = 2/2 − 3, m = 1/2 + e, h = 2/2 − m; e = 2·2.5/2 − 1, m = −1.5/2 + 2e, h = 2.5/2 − m
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            &format!("q=1,1 k=1,1 v=3,1 g={HALF},{HALF} log_mu={HALF},{HALF} p=1,2 beta=1,1 eta=1,2 h0=2 m0=1"),
            "d_o=0,1",
            "o=2.5,-1 ht=-1 mt=2.25 d_q=0,-1 d_k=-2,-3 d_v=-1,2 d_g=-0.5,-3.75 d_log_mu=0.5,0.75 \
             d_p=1,-2.5 d_beta=-2.25,-2.25 d_eta=-2,-1.5 d_h0=-0.25 d_m0=0.5",
        );
    }

    #[test]
    fn three_vectors_are_normalised_and_the_old_state_is_read() {
        let inputs = format!("q=3,4 k=0,2 v=6 g={HALF} log_mu=0 p=2,0 beta=1 eta=0.5 h0=8,8 m0=1,1");
        let (q, n) = ((25.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
        let m = 1.0 + n * 0.5 * (8.0 * n - 6.0);
        let expected = format!("mt=1,{m} ht=3,{} o={}", 4.0 - m, (3.0 * 3.0 + 4.0 * (4.0 - m)) / q);
        let fields = "B=1 T=1 H=1 K=2 V=1 scale=1 qk_l2norm=true p_times_alpha=false";
        check(&SPEC, fields, &inputs, "", &expected);
    }
}
