//! A linear recurrence whose transition is the identity plus a matrix of rank one: the generalised delta rule without
//! decay.
//!
//! $$ h_t = h_{t-1} + b_t\, (h_{t-1}^\top a_t)^\top + k_t v_t^\top, \qquad o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale`. Contractive while $b = -\beta a$ with a of unit length and $0 \le \beta \le 2$. Unit a and b
//! that point apart make the state grow geometrically, by about $1 / 2K$ a token in its logarithm and faster where the
//! same pair comes again: long sequences of narrow heads leave the range of a half.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Yang et al., *Parallelizing Linear Transformers with the Delta Rule over Sequence Length*, 2024, the
//! generalised transitions.
//! Upstream: `fla/ops/generalized_delta_rule/iplr` of 0.6.0. The chunk form has no gradients.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn iplr<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let (a, b) = (x.matrix("a"), x.matrix("b"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let read: Vec<F> = h.columns().into_iter().map(|h_col| F::dot(a.row(t), h_col)).collect();
        for ((i, j), h_ij) in h.indexed_iter_mut() {
            *h_ij = h_ij.mac(b[[t, i]], read[j]).mac(k[[t, i]], v[[t, j]]);
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "iplr",
    level: Level::Op,
    summary: "h += b (hᵀ a)ᵀ + k vᵀ;  o = scale hᵀ q",
    source: "Yang et al. 2024 (arXiv 2406.06484)",
    upstream: &[
        "fla.ops.generalized_delta_rule.chunk_iplr_delta_rule",
        "fla.ops.generalized_delta_rule.fused_recurrent_iplr_delta_rule",
    ],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("a", dims![B, T, H, K], Domain::UnitKey),
        Port::new("b", dims![B, T, H, K], Domain::Against("a")),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2")],
    constraints: &[],
    independent: dims![B, H],
    states: &[State::new("h0", "ht")],
    function: function!(iplr),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_token_writes_what_it_reads_elsewhere() {
        // a reads 2 + 3; then 2 + 1·5 + 1·5 and 3 + 2·5 + 0
        check(&SPEC, "B=1 T=1 H=1 K=2 V=1 scale=1", "q=1,1 k=1,0 v=5 a=1,1 b=1,2 h0=2,3", "", "ht=12,13 o=25");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 4 + 2·4 + 2, then 14 + 14 + 3; d_h is 2 at the second token and 1 + 2·2 at the first
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            "q=1,2 k=1,3 v=2,1 a=1,1 b=2,1 h0=4",
            "d_o=1,1",
            "o=14,62 ht=31 d_q=14,31 d_k=10,2 d_v=5,6 d_a=40,28 d_b=20,28 d_h0=15",
        );
    }
}
