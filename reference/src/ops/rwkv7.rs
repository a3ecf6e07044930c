//! A generalised delta rule that removes what a normalised key reads, to a degree of its own in each channel.
//!
//! $$ h_t = \operatorname{diag}(e^{g_t})\, h_{t-1} - (a_t \odot \kappa_t)\, (h_{t-1}^\top \kappa_t)^\top
//! + k_t v_t^\top, \qquad o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale`, which is 1 unless given, $\kappa$ = `kk` of unit length and `a` in $(0, 1)$; κ reads the state
//! before it decays. Without decay the one eigenvalue of $I - (a \odot \kappa) \kappa^\top$ that is not 1 is
//! $1 - \sum a \kappa^2$, in $(0, 1)$. Where `a` varies from channel to channel the matrix is not symmetric, hence no
//! contraction: a product of several may grow, as far as the decay lets it.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, the update of the
//! state, where q is $r$ and the decay $w = e^{g}$.
//! Upstream: `fla/ops/rwkv7` of 0.6.0, where q is `r` and g is `w`, which has the storage type. Only
//! `fused_mul_recurrent_rwkv7` takes κ and a; it alone has `reverse`. The others take the two vectors of
//! [`dplr`](super::dplr) instead, $-\kappa$ and $a \odot \kappa$. Only the chunk form has gradients. The default scale
//! of `fused_recurrent_rwkv7` is $K^{-1/2}$.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv7<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let (kk, a, decay) = (x.matrix("kk"), x.matrix("a"), x.matrix("g").mapv(F::exp));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or(1.0));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let read: Vec<F> = h.columns().into_iter().map(|h_col| F::dot(kk.row(t), h_col)).collect();
        for ((i, j), h_ij) in h.indexed_iter_mut() {
            let removal = -(a[[t, i]] * kk[[t, i]]);
            *h_ij = (decay[[t, i]] * *h_ij).mac(removal, read[j]).mac(k[[t, i]], v[[t, j]]);
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv7",
    level: Level::Op,
    summary: "h = diag(exp(g)) h − (a ⊙ kk) (hᵀ kk)ᵀ + k vᵀ;  o = scale hᵀ q",
    source: "Peng et al. 2025 (arXiv 2503.14456), the update of the state",
    upstream: &[
        "fla.ops.rwkv7.chunk_rwkv7",
        "fla.ops.rwkv7.fused_mul_recurrent_rwkv7",
        "fla.ops.rwkv7.fused_recurrent_rwkv7",
    ],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("g", dims![B, T, H, K], Domain::LogDecay),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("kk", dims![B, T, H, K], Domain::UnitKey),
        Port::new("a", dims![B, T, H, K], Domain::Fraction),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::number("scale", 1.0, 0.375, "factor on q"),
        Attr::flag("reverse", false, "run each sequence from its last token to its first"),
    ],
    constraints: &[],
    independent: dims![B, H],
    states: &[State::new("h0", "ht")],
    function: function!(rwkv7),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_token_removes_what_it_reads_before_it_decays() {
        // kk reads 2 + 3; then 2/2 − 5/2 + 1·5 and 3 − 5 + 0
        let inputs = format!("q=1,1 g={HALF},0 k=1,0 v=5 kk=1,1 a=0.5,1 h0=2,3");
        check(&SPEC, "B=1 T=1 H=1 K=2 V=1", &inputs, "", "ht=3.5,-2 o=1.5");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 4/2 − 4/2 + 2, then 2/2 − 2·2/4 + 3: the second transition is 0, so d_h is 2 there and 1 before
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1",
            &format!("q=1,2 g={HALF},{HALF} k=1,3 v=2,1 kk=1,2 a=0.5,0.125 h0=4"),
            "d_o=1,1",
            "o=2,6 ht=3 d_q=2,3 d_g=2,2 d_k=2,2 d_v=1,6 d_kk=-4,-2 d_a=-4,-16 d_h0=0",
        );
    }

    #[test]
    fn reverse_starts_at_the_last_token() {
        let inputs = format!("q=1,1 g={HALF},{HALF} k=1,1 v=1,8 kk=0,1 a=1,1 h0=2");
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1 scale=2 reverse=true", &inputs, "", "o=9,14 ht=4.5");
    }
}
