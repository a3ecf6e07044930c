//! Gated linear attention with a decay for each channel.
//!
//! $$ h_t = \operatorname{diag}(e^{g_t})\, h_{t-1} \operatorname{diag}(e^{g^v_t}) + k_t v_t^\top, \qquad
//! o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale`, the log decay `g` of the key channels and `gv` of the value channels, either of them 0 when
//! absent. Well conditioned for $g \le 0$ and $g^v \le 0$, as a recurrence: a form that divides by a product of decays
//! overflows where a channel forgets quickly.
//!
//! Paper: Yang et al., *Gated Linear Attention Transformers with Hardware-Efficient Training*, 2024, eq. 3 and §4.1
//! (there $G_t = \alpha_t^\top \beta_t$, with α = exp(g), β = exp(gv)).
//! Upstream: `fla/ops/gla` of 0.6.0. The chunk form names its gate `g`, must be given it, and has neither `gv` nor
//! `reverse`; the recurrent form names it `gk`. The gates have the storage type.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gla<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let (a, b) = (x.matrix("g").mapv(F::exp), x.matrix("gv").mapv(F::exp));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for ((i, j), h_ij) in h.indexed_iter_mut() {
            *h_ij = (a[[t, i]] * *h_ij * b[[t, j]]).mac(k[[t, i]], v[[t, j]]);
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gla",
    level: Level::Op,
    summary: "h = diag(exp(g)) h diag(exp(gv)) + k vᵀ;  o = scale hᵀ q",
    source: "Yang et al. 2024 (arXiv 2312.06635), eq. 3 and §4.1",
    upstream: &["fla.ops.gla.chunk_gla", "fla.ops.gla.fused_recurrent_gla"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, H, K], Domain::LogDecay).presence(Presence::OrZero),
        Port::new("gv", dims![B, T, H, V], Domain::LogDecay).presence(Presence::OrZero),
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
    function: function!(gla),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn rows_and_columns_decay_apart() {
        // the second row is halved and so is the first column, then 1 is added everywhere
        let inputs = format!("q=1,1 k=1,1 v=1,1 g=0,{HALF} gv={HALF},0 h0=4,4,8,8");
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 scale=1", &inputs, "", "ht=3,5,3,5 o=6,10");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 4/2 + 1·2, then 4/2 + 3·1; d_h is 2 at both tokens: q₂, and 2/2 + q₁
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            &format!("q=1,2 k=1,3 v=2,1 g={HALF},0 gv=0,{HALF} h0=4"),
            "d_o=1,1",
            "o=4,10 ht=5 d_q=4,5 d_k=4,2 d_v=2,6 d_g=4,4 d_gv=4,4 d_h0=1",
        );
    }

    #[test]
    fn without_gates_outer_products_add_up() {
        let fields = "B=1 T=2 H=1 K=1 V=2 scale=2 reverse=true absent=g+gv+h0";
        check(&SPEC, fields, "q=1,1 k=2,3 v=1,2,3,4", "", "o=22,32,18,24 ht=11,16");
    }
}
