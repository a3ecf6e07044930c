//! Gated slot attention: softmax attention over a fixed number of slots, whose keys and values are two linear
//! attentions with one gate.
//!
//! $$ \tilde K_t = \tilde K_{t-1} \operatorname{diag}(e^{g_t}) + k_t s_t^\top, \qquad
//! \tilde V_t = \operatorname{diag}(e^{g_t}) \tilde V_{t-1} + s_t v_t^\top, \qquad
//! o_t = \tilde V_t^\top \operatorname{softmax}(c\, \tilde K_t^\top q_t) $$
//!
//! with $c$ = `scale` and the states $\tilde K$ = `hk`, $\tilde V$ = `hv`. Well conditioned for $g \le 0$ and a bounded
//! s, as with $s = 1 - e^g$.
//!
//! Query head j reads the slots of key head $\lfloor j H / HQ \rfloor$. The states belong to key heads, so that an
//! independent slice is a key head with all its query heads.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads.
//!
//! Paper: Zhang et al., *Gated Slot Attention for Efficient Linear-Time Sequence Modeling*, 2024, the recurrence in the
//! paper.
//! Upstream: `fla/ops/gsa` of 0.6.0, where the states are a pair. A missing g is another op there: `abc`, without its
//! state z. Only the recurrent form has `reverse`, and it has several query heads for a key head at one token alone.

use ndarray::{Array1, Array2, Array3, ArrayView1, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gsa<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, [k, v, s, g]) = (x.cube("q"), ["k", "v", "s", "g"].map(|name| x.matrix(name)));
    let (mut hk, mut hv) = (x.matrix("hk0").to_owned(), x.matrix("hv0").to_owned());
    let (tokens, queries, width) = q.dim();
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (width as f64).powf(-0.5)));
    let mut o = Array3::from_elem((tokens, queries, v.ncols()), F::zero());
    for t in 0..tokens {
        write(&mut hk, &mut hv, [&k, &v, &s, &g].map(|x| x.row(t)));
        for (mut o, q) in o.index_axis_mut(Axis(0), t).outer_iter_mut().zip(q.index_axis(Axis(0), t).outer_iter()) {
            o.assign(&read(&q, &hk, &hv, scale));
        }
    }
    vec![o.into_dyn(), hk.into_dyn(), hv.into_dyn()]
}

/// One token.
fn write<F: Real>(hk: &mut Array2<F>, hv: &mut Array2<F>, [k, v, s, g]: [ArrayView1<'_, F>; 4]) {
    for (m, (&s_m, g_m)) in s.iter().zip(g).enumerate() {
        let decay = g_m.exp();
        for (h_i, &k_i) in hk.column_mut(m).iter_mut().zip(k) {
            *h_i = (decay * *h_i).mac(k_i, s_m);
        }
        for (h_j, &v_j) in hv.row_mut(m).iter_mut().zip(v) {
            *h_j = (decay * *h_j).mac(s_m, v_j);
        }
    }
}

/// What a query finds in the slots: `[V]`.
fn read<F: Real>(q: &ArrayView1<'_, F>, hk: &Array2<F>, hv: &Array2<F>, scale: F) -> Array1<F> {
    let logits: Vec<F> = hk.columns().into_iter().map(|h_m| scale * F::dot(*q, h_m)).collect();
    let largest = F::from_f64(logits.iter().map(|l| l.value()).fold(f64::NEG_INFINITY, f64::max));
    let weights: Vec<F> = logits.into_iter().map(|l| (l - largest).exp()).collect();
    let total: F = weights.iter().copied().sum();
    let p: Array1<F> = weights.into_iter().map(|w| w / total).collect();
    hv.columns().into_iter().map(|h_j| F::dot(p.view(), h_j)).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gsa",
    level: Level::Op,
    summary: "hk = hk diag(exp(g)) + k sᵀ;  hv = diag(exp(g)) hv + s vᵀ;  o = hvᵀ softmax(scale hkᵀ q)",
    source: "Zhang et al. 2024 (arXiv 2409.07146)",
    upstream: &["fla.ops.gsa.chunk_gsa", "fla.ops.gsa.fused_recurrent_gsa"],
    sizes: dims![B, T, H, HQ, K, V, M],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("s", dims![B, T, H, M], Domain::Fraction),
        Port::new("g", dims![B, T, H, M], Domain::LogDecay).single(),
        Port::new("hk0", dims![N, H, K, M], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hv0", dims![N, H, M, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, HQ, V], Domain::Normal),
        Port::new("hkt", dims![N, H, K, M], Domain::Normal).single(),
        Port::new("hvt", dims![N, H, M, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("reverse", false, "run each sequence from its last token to its first"),
    ],
    constraints: &[Constraint::grouped_queries("C1")],
    // query heads that share a key head share its states too
    independent: dims![B, H],
    states: &[State::new("hk0", "hkt"), State::new("hv0", "hvt")],
    function: function!(gsa),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_of_two_slots_is_written_and_its_gradients() {
        // logits ln 3 and 0, so that the slot of value 8 weighs 3/4 and the empty one 1/4
        let ln3 = 3f64.ln();
        check(
            &SPEC,
            "B=1 T=1 H=1 HQ=1 K=1 V=1 M=2 scale=1",
            &format!("q=1 k={ln3} v=8 s=1,0 g=0,0 hk0=0,0 hv0=0,0"),
            "d_o=1",
            &format!(
                "o=6 hkt={ln3},0 hvt=8,0 d_q={} d_k=1.5 d_v=0.75 d_s={},{} d_g=0,0 d_hk0=1.5,-1.5 d_hv0=0.75,0.25",
                1.5 * ln3,
                6.0 + 1.5 * ln3,
                2.0 - 1.5 * ln3
            ),
        );
    }

    #[test]
    fn two_queries_read_the_same_slots() {
        // the second query turns the logits round: weights 1/4 and 3/4
        let inputs = format!("q=1,-1 k={} v=8 s=1,0 g=-800,0 hk0=5,0 hv0=5,0", 3f64.ln());
        let expected = "o=6,2 hvt=8,0 d_k=0 d_v=1 d_hk0=0,0 d_hv0=0,1";
        check(&SPEC, "B=1 T=1 H=1 HQ=2 K=1 V=1 M=2 scale=1", &inputs, "d_o=1,1", expected);
    }
}
