//! Oja's rule with a decay of each value channel: the delta rule on the other side of the state.
//!
//! $$ h'_t = h_{t-1} \operatorname{diag}(e^{g_t}), \quad u_t = \beta_t (k_t - h'_t v_t), \quad h_t = h'_t + u_t v_t^\top, \quad o_t = s\, h_t^\top q_t $$
//!
//! with $g$ = `gv`. The state is taught to return k for v, and read with q from the side of k.
//! Contractive, hence well conditioned, while $g \le 0$ and $0 \le \beta \lVert v \rVert^2 \le 2$: values must be of unit
//! length. Linear in (k, h0), not in v.
//!
//! `q_l2norm` and `k_l2norm` replace q and k by $x / \sqrt{\sum x^2 + 10^{-6}}$ first.
//!
//! # Errors
//! C1: the value heads are a multiple of the key heads.
//!
//! Paper: Oja, *A simplified neuron model as a principal component analyzer*, 1982, with matrices for its vectors;
//! upstream names no other.
//! Upstream: `fla/ops/gated_oja_rule` of 0.6.0. Value heads of their own and an absent `gv` are in its recurrent form
//! alone, gradients in its chunk form alone. That form normalises q and k as soon as it is given
//! `use_qk_l2norm_in_kernel`, even when that is false.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn gated_oja_rule<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, gv, beta) = (x.matrix("v"), x.matrix("gv"), x.vector("beta"));
    let (q, k) = (normalised_if(x, "q_l2norm", "q"), normalised_if(x, "k_l2norm", "k"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for (mut h_col, &g_j) in h.columns_mut().into_iter().zip(gv.row(t)) {
            let decay = g_j.exp();
            h_col.mapv_inplace(|h_ij| decay * h_ij);
        }
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            let u_i = beta[t] * (k_i - F::dot(h_row.view(), v.row(t)));
            for (h_ij, &v_j) in h_row.iter_mut().zip(v.row(t)) {
                *h_ij = h_ij.mac(u_i, v_j);
            }
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// An input, its rows of unit length if the flag is set: `[T, K]`.
fn normalised_if<F: Real>(x: &Unit<'_, F>, flag: &str, name: &str) -> Array2<F> {
    let mut rows = x.matrix(name).to_owned();
    if x.problem.flag(flag) {
        for mut row in rows.rows_mut() {
            let norm = (row.iter().map(|&x| x * x).sum::<F>() + F::from_f64(L2_EPSILON)).sqrt();
            row.mapv_inplace(|x| x / norm);
        }
    }
    rows
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gated_oja_rule",
    level: Level::Op,
    summary: "h = h diag(exp(gv));  h += β (k − h v) vᵀ;  o = scale hᵀ q",
    source: "Oja 1982 (J. Math. Biology 15), with matrices for its vectors",
    upstream: &["fla.ops.gated_oja_rule.chunk_gated_oja_rule", "fla.ops.gated_oja_rule.fused_recurrent_gated_oja_rule"],
    sizes: dims![B, T, H, HV, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, HV, V], Domain::UnitKey),
        Port::new("gv", dims![B, T, HV, V], Domain::LogDecay).single().presence(Presence::OrZero),
        Port::new("beta", dims![B, T, HV], Domain::Fraction).single(),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, HV, V], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("q_l2norm", false, "normalise q to unit length first"),
        Attr::flag("k_l2norm", false, "normalise k to unit length first"),
    ],
    constraints: &[Constraint::grouped_values("C1")],
    independent: dims![B, HV],
    states: &[State::new("h0", "ht")],
    function: function!(gated_oja_rule),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_column_of_the_state_is_replaced() {
        // columns (2, 6) → (1, 3) and (3, 4), of which v reads the first
        let inputs = format!("q=1,2 k=5,7 v=1,0 gv={HALF},0 beta=1 h0=2,3,6,4");
        check(&SPEC, "B=1 T=1 H=1 HV=1 K=2 V=2 scale=1", &inputs, "", "ht=5,3,7,4 o=19,11");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h' = 4, h = 4 + (6 − 4)/2, then 5 + 2 (8 − 2·5)/4; d_h is 1, then 1 − 2·2/4 + 3
        check(
            &SPEC,
            "B=1 T=2 H=1 HV=1 K=1 V=1 scale=1",
            &format!("q=3,1 k=6,8 v=1,2 gv={HALF},0 beta=0.5,0.25 h0=8"),
            "d_o=1,1",
            "o=15,4 ht=4 d_q=5,4 d_k=1.5,0.5 d_v=-3,-3 d_gv=6,0 d_beta=6,-4 d_h0=0.75",
        );
    }

    #[test]
    fn queries_and_keys_are_made_of_unit_length_apart() {
        let (inputs, norm) = ("q=3,4 k=0,2 v=1 beta=1", |n: f64| (n + 1e-6).sqrt());
        let ask = |flag, expected: String| {
            check(&SPEC, &format!("B=1 T=1 H=1 HV=1 K=2 V=1 scale=1 absent=gv+h0 {flag}=true"), inputs, "", &expected);
        };
        ask("q_l2norm", format!("ht=0,2 o={}", 8.0 / norm(25.0)));
        ask("k_l2norm", format!("ht=0,{} o={}", 2.0 / norm(4.0), 8.0 / norm(4.0)));
    }
}
