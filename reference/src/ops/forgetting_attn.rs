//! Causal softmax attention whose logits fade by a forget gate for each token and query head.
//!
//! $$ z_{ij} = s\, q_i^\top k_j + \sum_{l=j+1}^{i} g_l, \qquad
//!    o_i = \frac{\sum_j e^{z_{ij}} v_j}{\sum_j e^{z_{ij}}}, \qquad 0 \le i - j < W $$
//!
//! with $s$ = `scale`, which does not touch the gates, and $W$ = `window`, the query's own token included. Well
//! conditioned: the weights are positive and add up to 1. Gates summed from the start of the sequence and subtracted,
//! instead of from key to query, lose the digits by which the sum exceeds the difference.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads. C2: a window is a whole number of at least one token.
//!
//! Paper: Lin, Nikishin, He & Courville, *Forgetting Transformer: Softmax Attention with a Forget Gate*, 2025, where
//! forgetting attention is defined.
//! Upstream: `fla/ops/forgetting_attn` of 0.6.0, where the window is `window_size`; it calls `parallel_attn` with g.

use ndarray::{Array1, Array2, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn forgetting_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let v = x.matrix("v");
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for i in x.asked() {
        let z = logits(x, i);
        let max = F::from_f64(z.iter().fold(f64::NEG_INFINITY, |max, z| max.max(z.value())));
        let p = z.mapv(|z| (z - max).exp());
        let total: F = p.iter().copied().sum();
        let seen = v.slice_axis(Axis(0), (i + 1 - p.len()..=i).into());
        for (o_j, v_col) in o.row_mut(i).iter_mut().zip(seen.columns()) {
            *o_j = F::dot(p.view(), v_col) / total;
        }
    }
    vec![o.into_dyn()]
}

/// The logits of a query with the keys that it sees, its own last.
fn logits<F: Real>(x: &Unit<'_, F>, i: usize) -> Array1<F> {
    let (q, k, g) = (x.matrix("q"), x.matrix("k"), x.vector("g"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let window = x.problem.number("window").map_or(x.tokens, |w| w as usize);
    let (mut z, mut gates) = (Vec::new(), F::zero());
    for j in (0..=i).rev().take(window) {
        z.push(scale * F::dot(q.row(i), k.row(j)) + gates);
        gates = gates + g[j];
    }
    z.reverse();
    Array1::from(z)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "forgetting_attn",
    level: Level::Op,
    summary: "o = Σ exp(z) v / Σ exp(z);  z = scale qᵀ k + Σ g, over a causal window",
    source: "Lin et al. 2025 (arXiv 2503.02130)",
    upstream: &["fla.ops.forgetting_attn.naive_forgetting_attn", "fla.ops.forgetting_attn.parallel_forgetting_attn"],
    sizes: dims![B, T, H, HQ, K, V],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, HQ], Domain::LogDecay).single(),
    ],
    outputs: &[Port::new("o", dims![B, T, HQ, V], Domain::Normal)],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::auto("window", 3.0, "how many tokens a query sees, its own included; auto is all"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        Constraint {
            label: "C2",
            text: "window is a whole number of at least 1",
            holds: |p| p.number("window").is_none_or(|w| w >= 1.0 && w.fract() == 0.0),
            break_it: |p| _ = p.attrs.insert("window", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("window"),
        },
    ],
    independent: dims![B, HQ],
    states: &[],
    function: function!(forgetting_attn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_token_returns_its_value() {
        let expected = "o=5,6 d_q=0,0 d_k=0,0 d_v=1,2 d_g=0";
        check(&SPEC, "B=1 T=1 H=1 HQ=1 K=2 V=2", "q=1,2 k=3,4 v=5,6 g=-9", "d_o=1,2", expected);
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // the scaled product would double the first weight, and the gate takes that back
        let double = std::f64::consts::LN_2;
        check(
            &SPEC,
            "B=1 T=2 H=1 HQ=1 K=1 V=1 scale=0.5",
            &format!("q=0,2 k={double},0 v=2,6 g=-1,{HALF}"),
            "d_o=0,1",
            &format!("o=2,4 d_q=0,{} d_k=-1,1 d_v=0.5,0.5 d_g=0,-1", -0.5 * double),
        );
    }

    #[test]
    fn heads_forget_at_their_own_rates_within_a_window() {
        // of the last two tokens, the first head keeps half of the older one and the second head all
        let inputs = format!("q=0,0,0,0,0,0 k=1,1,1 v=9,3,6 g=0,0,0,0,{HALF},0");
        check(&SPEC, "B=1 T=3 H=1 HQ=2 K=1 V=1 window=2", &inputs, "", "o=9,9,6,6,5,4.5");
    }
}
