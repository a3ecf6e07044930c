//! The delta rule with a scalar decay: an online regression step after a decay.
//!
//! $$ h'_t = e^{g_t} h_{t-1}, \quad u_t = \beta_t (v_t - h'^\top_t k_t), \quad h_t = h'_t + k_t u_t^\top, \quad o_t = s\, h_t^\top q_t $$
//!
//! Contractive, hence well conditioned, while $0 \le \beta \lVert k \rVert^2 \le 2$: keys must be of unit length or
//! `qk_l2norm` set. Beyond that, states grow geometrically and no precision is enough.
//!
//! Three prologues may be part of the call: `qk_l2norm` replaces q, k by $x / \sqrt{\sum x^2 + 10^{-6}}$;
//! `softplus_gate` replaces g by $-e^{A} \ln(1 + e^{g + b})$ with $A$ = `A_log`, $b$ = `dt_bias`; `beta_sigmoid`
//! replaces β by its sigmoid, doubled with `allow_neg_eigval`.
//!
//! # Errors
//! C1: the value heads are a multiple of the key heads. C2: `allow_neg_eigval` needs `beta_sigmoid`.
//!
//! Paper: Yang, Kautz & Hatamizadeh, *Gated Delta Networks*, 2024, eq. 10.
//! Upstream: `fla/ops/gated_delta_rule` of 0.6.0.

use ndarray::{Array1, Array2, ArrayView1};

use crate::real::Real;
use crate::rounded::summed;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn gated_delta_rule<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let v = x.matrix("v");
    let (q, k) = (prologue(x, "q"), prologue(x, "k"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (g, mut h) = (log_decays(x), x.matrix("h0").to_owned());
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let (decay, beta) = (g[t].exp(), write_strength(x, t));
        h.mapv_inplace(|h_ij| decay * h_ij);
        let u: Vec<F> =
            h.columns().into_iter().zip(v.row(t)).map(|(h_col, &v_j)| beta * (v_j - F::dot(k.row(t), h_col))).collect();
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            for (h_ij, &u_j) in h_row.iter_mut().zip(&u) {
                *h_ij = h_ij.mac(k_i, u_j);
            }
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// `q` or `k` as the recurrence uses it: `[T, K]`.
fn prologue<F: Real>(x: &Unit<'_, F>, name: &str) -> Array2<F> {
    let mut rows = x.matrix(name).to_owned();
    if x.problem.flag("qk_l2norm") {
        for mut row in rows.rows_mut() {
            let norm = norm(&row.view());
            row.mapv_inplace(|x| x / norm);
        }
    }
    rows
}

fn norm<F: Real>(x: &ArrayView1<'_, F>) -> F {
    (x.iter().map(|&x| x * x).sum::<F>() + F::from_f64(L2_EPSILON)).sqrt()
}

/// `[T]`.
fn log_decays<F: Real>(x: &Unit<'_, F>) -> Array1<F> {
    let mut g = x.vector("g").to_owned();
    if x.problem.flag("softplus_gate") {
        let (rate, bias) = (-x.scalar("A_log").exp(), x.scalar("dt_bias"));
        g.mapv_inplace(|g| rate * (g + bias).softplus());
        summed(&mut g);
    }
    g
}

fn write_strength<F: Real>(x: &Unit<'_, F>, t: usize) -> F {
    let beta = x.vector("beta")[t];
    match (x.problem.flag("beta_sigmoid"), x.problem.flag("allow_neg_eigval")) {
        (false, _) => beta,
        (true, false) => beta.sigmoid(),
        (true, true) => F::from_f64(2.0) * beta.sigmoid(),
    }
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gated_delta_rule",
    level: Level::Op,
    summary: "h = exp(g) h;  h += β k (v − hᵀ k)ᵀ;  o = scale hᵀ q",
    source: "Yang, Kautz & Hatamizadeh 2024 (arXiv 2412.06464), eq. 10",
    upstream: &[
        "fla.ops.gated_delta_rule.chunk_gated_delta_rule",
        "fla.ops.gated_delta_rule.fused_recurrent_gated_delta_rule",
        "fla.ops.gated_delta_rule.naive_chunk_gated_delta_rule",
        "fla.ops.gated_delta_rule.naive_recurrent_gated_delta_rule",
    ],
    sizes: dims![B, T, H, HV, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, HV, V], Domain::Normal),
        Port::new("g", dims![B, T, HV], Domain::LogDecay).single().domain_if(&[("softplus_gate", Domain::Normal)]),
        Port::new("beta", dims![B, T, HV], Domain::Fraction).single().domain_if(&[("beta_sigmoid", Domain::Normal)]),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("A_log", dims![HV], Domain::LogRate).single().when("softplus_gate"),
        Port::new("dt_bias", dims![HV], Domain::Normal).single().presence(Presence::OrZero).when("softplus_gate"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, HV, V], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("qk_l2norm", false, "normalise q and k to unit length first"),
        Attr::flag("softplus_gate", false, "g is raw: −exp(A_log) softplus(g + dt_bias)"),
        Attr::flag("beta_sigmoid", false, "β is raw: its sigmoid is used"),
        Attr::flag("allow_neg_eigval", false, "β in (0, 2): twice the sigmoid"),
    ],
    constraints: &[
        Constraint::grouped_values("C1"),
        Constraint {
            label: "C2",
            text: "allow_neg_eigval needs beta_sigmoid",
            holds: |p| !p.flag("allow_neg_eigval") || p.flag("beta_sigmoid"),
            break_it: |p| {
                p.attrs.extend([("allow_neg_eigval", Value::Flag(true)), ("beta_sigmoid", Value::Flag(false))]);
            },
            mend: |p| _ = p.attrs.insert("beta_sigmoid", Value::Flag(true)),
        },
    ],
    independent: dims![B, HV],
    states: &[State::new("h0", "ht")],
    function: function!(gated_delta_rule),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_row_of_the_state_is_replaced() {
        let inputs = "q=1,1 k=1,0 v=5,6 g=0 beta=1 h0=1,2,3,4";
        check(&SPEC, "B=1 T=1 H=1 HV=1 K=2 V=2 scale=1", inputs, "", "ht=5,6,3,4 o=8,10");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 1 + (3 − 1)/2, then 1 + (5 − 1): a full step onto v₂ forgets everything before
        check(
            &SPEC,
            "B=1 T=2 H=1 HV=1 K=1 V=1 scale=1",
            &format!("q=2,1 k=1,1 v=3,5 g={HALF},{HALF} beta=0.5,1 h0=2"),
            "d_o=0,1",
            "o=4,5 ht=5 d_q=0,5 d_k=0,3 d_v=0,1 d_g=0,0 d_beta=0,4 d_h0=0",
        );
    }

    #[test]
    fn prologues_at_values_that_are_known() {
        // softplus of 0 is ln 2, so the decay is 1/2; the sigmoid of 0 is 1/2
        let inputs = "q=3,4 k=0,2 v=6 g=1 beta=0 h0=8,8 A_log=0 dt_bias=-1";
        let fields = "B=1 T=1 H=1 HV=1 K=2 V=1 scale=1 qk_l2norm=true softplus_gate=true beta_sigmoid=true";
        let expected = |beta: f64| {
            let (q, k) = ((25.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
            let second = 4.0 + k * beta * (6.0 - 4.0 * k);
            format!("ht=4,{second} o={}", (3.0 * 4.0 + 4.0 * second) / q)
        };
        check(&SPEC, fields, inputs, "", &expected(0.5));
        check(&SPEC, &format!("{fields} allow_neg_eigval=true"), inputs, "", &expected(1.0));
    }
}
