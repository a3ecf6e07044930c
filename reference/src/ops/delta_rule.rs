//! The delta rule: one step of online regression for each token, without decay.
//!
//! $$ u_t = \beta_t (v_t - h_{t-1}^\top k_t), \quad h_t = h_{t-1} + k_t u_t^\top, \quad o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale`. `qk_l2norm` replaces q, k by $x / \sqrt{\sum x^2 + 10^{-6}}$ first.
//!
//! Contractive, hence well conditioned, while $0 \le \beta \lVert k \rVert^2 \le 2$: keys must be of unit length or
//! `qk_l2norm` set. Beyond that, states grow geometrically and no precision is enough. Nothing is forgotten but what a
//! later key overwrites, so an early error stays.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Schlag, Irie & Schmidhuber, *Linear Transformers Are Secretly Fast Weight Programmers*, 2021, §4.2; Yang et
//! al., *Parallelizing Linear Transformers with the Delta Rule over Sequence Length*, 2024, §2.2.
//! Upstream: `fla/ops/delta_rule` of 0.6.0. Its recurrent form also takes β for each value channel, and 1 for an absent
//! β; its chunk form refuses f32.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn delta_rule<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, beta) = (x.matrix("v"), x.vector("beta"));
    let (q, k) = (unit_rows(x, "q"), unit_rows(x, "k"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let missing = h.columns().into_iter().zip(v.row(t)).map(|(h_col, &v_j)| v_j - F::dot(k.row(t), h_col));
        let u: Vec<F> = missing.map(|e| beta[t] * e).collect();
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
fn unit_rows<F: Real>(x: &Unit<'_, F>, name: &str) -> Array2<F> {
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
    name: "delta_rule",
    level: Level::Op,
    summary: "h += β k (v − hᵀ k)ᵀ;  o = scale hᵀ q",
    source: "Schlag, Irie & Schmidhuber 2021 (arXiv 2102.11174), §4.2; Yang et al. 2024 (arXiv 2406.06484), §2.2",
    upstream: &["fla.ops.delta_rule.chunk_delta_rule", "fla.ops.delta_rule.fused_recurrent_delta_rule"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("beta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("qk_l2norm", false, "normalise q and k to unit length first"),
    ],
    constraints: &[],
    independent: dims![B, H],
    states: &[State::new("h0", "ht")],
    function: function!(delta_rule),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn half_a_step_goes_half_the_way() {
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 scale=1", "q=1,1 k=0,1 v=5,8 beta=0.5 h0=1,2,3,4", "", "ht=1,2,4,6 o=5,8");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 2 + 2 (7 − 2·2)/2, then 5 + (9 − 5)/4; d_h is 1 at the second token, 3/4 + 1 after the first
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            "q=1,1 k=2,1 v=7,9 beta=0.5,0.25 h0=2",
            "d_o=1,1",
            "o=5,6 ht=6 d_q=5,6 d_k=-0.875,-0.25 d_v=1.75,0.25 d_beta=10.5,4 d_h0=-1.75",
        );
    }

    #[test]
    fn keys_and_queries_are_made_of_unit_length() {
        let (q, k) = ((25.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
        let expected = format!("ht=0,{} o={}", 6.0 * k, 24.0 * k / q);
        let fields = "B=1 T=1 H=1 K=2 V=1 scale=1 qk_l2norm=true absent=h0";
        check(&SPEC, fields, "q=3,4 k=0,2 v=6 beta=1", "", &expected);
    }
}
