//! A linear recurrence whose transition is a diagonal plus a matrix of rank one: the generalised delta rule.
//!
//! $$ h_t = \operatorname{diag}(e^{g_t})\, h_{t-1} + b_t\, (h_{t-1}^\top a_t)^\top + k_t v_t^\top, \qquad
//! o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale`; `a` reads the state before it decays. As well conditioned as the products of
//! $\operatorname{diag}(e^{g}) + b a^\top$ are small. They do not grow when $b = -\beta a$ with $g = 0$, a of unit
//! length and $0 \le \beta \le 2$. Unit a and b that point apart give a norm of up to 2 (typically 1.6), and from token
//! to token the logarithm of the state gains about $1 / 2K$, more where the same pair comes again: where the decay is
//! less than that, the state grows geometrically.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Yang et al., *Parallelizing Linear Transformers with the Delta Rule over Sequence Length*, 2024, the
//! generalised transitions; Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, the
//! update of the state.
//! Upstream: `fla/ops/generalized_delta_rule/dplr` of 0.6.0, which names the gate `gk`; it has the storage type. Only
//! the recurrent form has `reverse`, and it has no gradients.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn dplr<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let (a, b, decay) = (x.matrix("a"), x.matrix("b"), x.matrix("g").mapv(F::exp));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let read: Vec<F> = h.columns().into_iter().map(|h_col| F::dot(a.row(t), h_col)).collect();
        for ((i, j), h_ij) in h.indexed_iter_mut() {
            *h_ij = (decay[[t, i]] * *h_ij).mac(b[[t, i]], read[j]).mac(k[[t, i]], v[[t, j]]);
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "dplr",
    level: Level::Op,
    summary: "h = diag(exp(g)) h + b (hᵀ a)ᵀ + k vᵀ;  o = scale hᵀ q",
    source: "Yang et al. 2024 (arXiv 2406.06484); Peng et al. 2025 (arXiv 2503.14456), the update of the state",
    upstream: &[
        "fla.ops.generalized_delta_rule.chunk_dplr_delta_rule",
        "fla.ops.generalized_delta_rule.fused_recurrent_dplr_delta_rule",
    ],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("a", dims![B, T, H, K], Domain::UnitKey),
        Port::new("b", dims![B, T, H, K], Domain::Against("a")),
        Port::new("g", dims![B, T, H, K], Domain::LogDecay),
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
    function: function!(dplr),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_token_reads_before_it_decays() {
        // a reads 2 + 3; then 2/2 + 0·5 + 1·5 and 3 + 2·5 + 0
        let inputs = format!("q=1,1 k=1,0 v=5 a=1,1 b=0,2 g={HALF},0 h0=2,3");
        check(&SPEC, "B=1 T=1 H=1 K=2 V=1 scale=1", &inputs, "", "ht=6,13 o=19");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 4/2 + 2·4 + 2, then 12/2 + 12 + 3; d_h is 2 at the second token and 1 + 2 (1/2 + 1) at the first
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            &format!("q=1,2 k=1,3 v=2,1 a=1,1 b=2,1 g={HALF},{HALF} h0=4"),
            "d_o=1,1",
            "o=12,42 ht=21 d_q=12,21 d_k=8,2 d_v=4,6 d_a=32,24 d_b=16,24 d_g=8,12 d_h0=10",
        );
    }

    #[test]
    fn reverse_starts_at_the_last_token() {
        let inputs = format!("q=1,1 k=1,1 v=1,8 a=1,0 b=1,1 g={HALF},{HALF} h0=2");
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1 reverse=true", &inputs, "", "o=14.5,9 ht=14.5");
    }
}
