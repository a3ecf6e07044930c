//! Retention: linear attention with a constant decay for each head, which the head's number determines.
//!
//! $$ h_t = \gamma_\eta h_{t-1} + k_t v_t^\top, \qquad o_t = s\, h_t^\top q_t, \qquad \gamma_\eta = 1 - 2^{-5-\eta} $$
//!
//! with $s$ = `scale` and $\eta = 0, 1, \ldots$ the number of the head. Hence
//! $o_i = s \sum_{j \le i} \gamma_\eta^{i-j} (q_i \cdot k_j)\, v_j$. Well conditioned: the state is a sum whose terms
//! only shrink, over a memory of about $2^{5+\eta}$ tokens.
//!
//! Paper: Sun et al., *Retentive Network: A Successor to Transformer for Large Language Models*, 2023, eq. 6 and 8,
//! without the rotation of q and k, the group norm and the gate, which are the layer's.
//! Upstream: `fla/ops/retention` of 0.6.0. It computes γ in f32, where it is 1 from head 20 on. Only its recurrent form
//! has `reverse`.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn retention<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let gamma = F::from_f64(1.0 - (-5.0 - x.index(Dim::H) as f64).exp2());
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            for (h_ij, &v_j) in h_row.iter_mut().zip(v.row(t)) {
                *h_ij = (gamma * *h_ij).mac(k_i, v_j);
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
    name: "retention",
    level: Level::Op,
    summary: "h = γ h + k vᵀ;  o = scale hᵀ q;  γ = 1 − 2^(−5−head)",
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 6 and 8",
    upstream: &[
        "fla.ops.retention.chunk_retention",
        "fla.ops.retention.fused_chunk_retention",
        "fla.ops.retention.fused_recurrent_retention",
        "fla.ops.retention.parallel_retention",
    ],
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
    function: function!(retention),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn each_head_has_its_own_decay() {
        let inputs = "q=1,1,1 k=1,1,1 v=0,0,0 h0=32,64,128";
        check(&SPEC, "B=1 T=1 H=3 K=1 V=1 scale=1", inputs, "", "o=31,63,127 ht=31,63,127");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 31/32 · 32 + 1, then 31/32 · 32 + 2; d_h is 32 at the second token, 31 + 1 at the first
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            "q=1,32 k=1,2 v=1,1 h0=32",
            "d_o=1,1",
            "o=32,1056 ht=33 d_q=32,33 d_k=32,32 d_v=32,64 d_h0=31",
        );
    }

    #[test]
    fn reverse_starts_at_the_last_token() {
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1 reverse=true", "q=1,1 k=1,1 v=1,1 h0=32", "", "o=32,32 ht=32");
    }
}
