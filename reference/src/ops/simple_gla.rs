//! Gated linear attention with one scalar decay per head and token.
//!
//! $$ h_t = e^{g_t} h_{t-1} + k_t v_t^\top, \qquad o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale` and the log decay either given for each token (`g`), constant per head (`g_gamma`) or 0.
//! Well conditioned for $g \le 0$: the state is a sum whose terms only shrink. Without decay the state grows with
//! the number of tokens, and with it the absolute rounding error.
//!
//! # Errors
//! C1: `g` and `g_gamma` exclude one another.
//!
//! Paper: Dao & Gu, *Transformers are SSMs*, 2024, eq. 16 (SSD with scalar decay); Yang et al., *Gated Linear
//! Attention Transformers with Hardware-Efficient Training*, 2024, §4.
//! Upstream: `fla/ops/simple_gla` of 0.6.0. Its `g_gamma` has no gradient, neither has ours.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn simple_gla<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let (g, g_gamma) = (x.vector("g"), x.scalar("g_gamma"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let decay = (g[t] + g_gamma).exp();
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            for (h_ij, &v_j) in h_row.iter_mut().zip(v.row(t)) {
                *h_ij = (decay * *h_ij).mac(k_i, v_j);
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
    name: "simple_gla",
    level: Level::Op,
    summary: "h = exp(g) h + k vᵀ;  o = scale hᵀ q",
    source: "Dao & Gu 2024 (arXiv 2405.21060), eq. 16; Yang et al. 2024 (arXiv 2312.06635), §4",
    upstream: &[
        "fla.ops.simple_gla.chunk_simple_gla",
        "fla.ops.simple_gla.fused_chunk_simple_gla",
        "fla.ops.simple_gla.fused_recurrent_simple_gla",
        "fla.ops.simple_gla.parallel_simple_gla",
    ],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, H], Domain::LogDecay).single().presence(Presence::OrZero),
        Port::new("g_gamma", dims![H], Domain::LogDecay).single().presence(Presence::OrZero).constant(),
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
    constraints: &[Constraint {
        label: "C1",
        text: "at most one of g and g_gamma is given",
        holds: |p| p.absent.contains("g") || p.absent.contains("g_gamma"),
        break_it: |p| p.absent.clear(),
        mend: |p| _ = p.absent.insert("g_gamma"),
    }],
    independent: dims![B, H],
    states: &[State::new("h0", "ht")],
    function: function!(simple_gla),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_token_stores_an_outer_product() {
        let root = 2f64.sqrt();
        let expected = format!("ht=3,4,6,8 o={},{}", (3.0 - 6.0) / root, (4.0 - 8.0) / root);
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 absent=g+g_gamma+h0", "q=1,-1 k=1,2 v=3,4", "", &expected);
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 4/2 + 1·2, then 4/2 + 3·1; d_h is 2 at both tokens: q₂, and 2/2 + q₁
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1 absent=g_gamma",
            &format!("q=1,2 k=1,3 v=2,1 g={HALF},{HALF} h0=4"),
            "d_o=1,1",
            "o=4,10 ht=5 d_q=4,5 d_k=4,2 d_v=2,6 d_g=4,4 d_h0=1",
        );
    }

    #[test]
    fn reverse_starts_at_the_last_token() {
        let inputs = format!("q=1,1 k=1,1 v=1,8 g_gamma={HALF} h0=2");
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1 reverse=true absent=g", &inputs, "", "o=5.5,9 ht=5.5");
    }
}
