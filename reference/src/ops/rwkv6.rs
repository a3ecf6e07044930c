//! A linear recurrence with a decay for each channel, read before it decays, and a bonus for the token at hand.
//!
//! $$ o_t = s\, (h_{t-1} + \operatorname{diag}(u)\, k_t v_t^\top)^\top q_t, \qquad
//! h_t = \operatorname{diag}(e^{g_t})\, h_{t-1} + k_t v_t^\top $$
//!
//! with $s$ = `scale`. A decay reaches only later tokens, so the last one of a sequence acts on `ht` alone. Well
//! conditioned for $g \le 0$, as a recurrence: a form that divides by a product of decays overflows where a channel
//! forgets quickly.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Peng et al., *Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence*, 2024, the
//! time mixing of Finch, where the decay is $w_t = e^{g_t}$ and no scale is applied.
//! Upstream: `fla/ops/rwkv6` of 0.6.0, where q is `r` and g is `w`, which has the storage type. Only the recurrent form
//! has `reverse`.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv6<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v, u) = (x.matrix("q"), x.matrix("k"), x.matrix("v"), x.vector("u"));
    let decay = x.matrix("g").mapv(F::exp);
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let bonus: F = (0..q.ncols()).map(|i| q[[t, i]] * u[i] * k[[t, i]]).sum();
        for ((o_j, h_col), &v_j) in o.row_mut(t).iter_mut().zip(h.columns()).zip(v.row(t)) {
            *o_j = scale * F::dot(q.row(t), h_col).mac(bonus, v_j);
        }
        for ((i, j), h_ij) in h.indexed_iter_mut() {
            *h_ij = (decay[[t, i]] * *h_ij).mac(k[[t, i]], v[[t, j]]);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv6",
    level: Level::Op,
    summary: "o = scale (h + diag(u) k vᵀ)ᵀ q;  h = diag(exp(g)) h + k vᵀ",
    source: "Peng et al. 2024 (arXiv 2404.05892), time mixing of Finch",
    upstream: &["fla.ops.rwkv6.chunk_rwkv6", "fla.ops.rwkv6.fused_recurrent_rwkv6"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, H, K], Domain::LogDecay),
        Port::new("u", dims![H, K], Domain::Normal),
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
    function: function!(rwkv6),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_token_reads_what_was_there_and_its_own_bonus() {
        // 2 (4 + 10·3·1) and 2 (6 + 10·3·5)
        let inputs = format!("q=2 k=3 v=1,5 g={HALF} u=10 h0=4,6");
        check(&SPEC, "B=1 T=1 H=1 K=1 V=2 scale=1", &inputs, "", "o=68,312 ht=5,18");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h₁ = 4/2 + 1·2; d_h₁ is q₂, d_h₂ is 0
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            &format!("q=1,2 k=1,3 v=2,1 g={HALF},{HALF} u=2 h0=4"),
            "d_o=1,1",
            "o=8,20 ht=5 d_q=8,10 d_k=8,4 d_v=4,12 d_g=4,0 d_u=8 d_h0=2",
        );
    }

    #[test]
    fn reverse_starts_at_the_last_token() {
        let inputs = format!("q=1,1 k=1,1 v=1,8 g={HALF},{HALF} u=0 h0=2");
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1 reverse=true", &inputs, "", "o=9,2 ht=5.5");
    }
}
