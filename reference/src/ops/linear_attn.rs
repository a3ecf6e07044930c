//! Linear attention: a sum of outer products that forgets nothing.
//!
//! $$ h_t = h_{t-1} + k_t v_t^\top, \qquad o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale`. Linear in each of q, k and v. The state grows with the number of tokens, and with it the
//! absolute rounding error.
//!
//! Paper: Katharopoulos et al., *Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention*, 2020,
//! eq. 18 and 20, where the feature map is the caller's and the denominator is that of
//! [`normalized_linear_attn`](super::normalized_linear_attn).
//! Upstream: `fla/ops/linear_attn` of 0.6.0 with `normalize=False`, which is the default of the recurrent form alone.
//! Only that form has `reverse`.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn linear_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            for (h_ij, &v_j) in h_row.iter_mut().zip(v.row(t)) {
                *h_ij = h_ij.mac(k_i, v_j);
            }
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "linear_attn",
    level: Level::Op,
    summary: "h += k vᵀ;  o = scale hᵀ q",
    source: "Katharopoulos et al. 2020 (arXiv 2006.16236), eq. 18 and 20",
    // each function counts once, where its default puts it
    upstream: &["fla.ops.linear_attn.fused_recurrent_linear_attn"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("reverse", false, "run each sequence from its last token to its first"),
    ],
    constraints: &[],
    independent: dims![B, H],
    states: &[State::new("h0", "ht")],
    function: function!(linear_attn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_token_stores_an_outer_product() {
        let expected = "ht=3,4,6,8 o=-1.5,-2 d_q=3.5,7 d_k=3.5,-3.5 d_v=-0.5,-0.5";
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 scale=0.5 absent=h0", "q=1,-1 k=1,2 v=3,4", "d_o=1,1", expected);
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 4 + 1·2, then 6 + 3·1; d_h is q₂ at the second token and q₂ + q₁ before
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            "q=1,2 k=1,3 v=2,1 h0=4",
            "d_o=1,1",
            "o=6,18 ht=9 d_q=6,9 d_k=6,2 d_v=3,6 d_h0=3",
        );
    }

    #[test]
    fn reverse_starts_at_the_last_token() {
        let fields = "B=1 T=2 H=1 K=1 V=1 reverse=true";
        check(&SPEC, fields, "q=1,1 k=1,1 v=1,8 h0=2", "", "o=11,10 ht=11");
    }
}
