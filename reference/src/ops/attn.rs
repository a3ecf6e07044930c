//! Causal softmax attention with grouped queries, and optionally a forget gate, a sink and a window.
//!
//! $$ z_{ij} = s\, q_i^\top k_j + \sum_{l=j+1}^{i} g_l, \qquad
//!    o_i = \frac{\sum_j e^{z_{ij}} v_j}{e^{b} + \sum_j e^{z_{ij}}}, \qquad 0 \le i - j < W $$
//!
//! with $s$ = `scale`, $b$ = `sink_bias` and $W$ = `window`, the query's own token included. Without g the sum of gates
//! is 0, without a sink $e^{b}$ is, and without a window every earlier token is seen. Well conditioned: the weights are
//! positive and add up to at most 1; the logits' absolute errors are the weights' relative ones, so queries and keys
//! whose products are in the hundreds leave few digits in low precision.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads. C2: a window is a whole number of at least one token.
//!
//! Paper: Vaswani et al., *Attention Is All You Need*, 2017, eq. 1; the gate is that of Lin et al., *Forgetting
//! Transformer*, 2025; the sink is the learned bias in the denominator of *gpt-oss-120b & gpt-oss-20b Model Card*,
//! OpenAI, 2025.
//! Upstream: `fla/ops/attn` of 0.6.0, where the window is `window_size`. Its naive code also returns the largest logit
//! of each row and may look ahead (`causal=False`); the kernels do neither. Its decoding step is the last row of each
//! sequence, where a window of 0 gives zeros and `do_gate_scale` multiplies g by the scale beforehand.

use ndarray::{Array1, Array2, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, sink) = (x.matrix("v"), x.scalar("sink_bias"));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for i in x.asked() {
        let z = logits(x, i);
        let max = F::from_f64(z.iter().fold(sink.value(), |max, z| max.max(z.value())));
        let p = z.mapv(|z| (z - max).exp());
        let total = (sink - max).exp() + p.iter().copied().sum();
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
    name: "attn",
    level: Level::Op,
    summary: "o = Σ exp(z) v / (exp(sink_bias) + Σ exp(z));  z = scale qᵀ k + Σ g, over a causal window",
    source: "Vaswani et al. 2017 (arXiv 1706.03762), eq. 1; Lin et al. 2025 (arXiv 2503.02130)",
    upstream: &["fla.ops.attn.naive_parallel_attn", "fla.ops.attn.parallel_attn"],
    sizes: dims![B, T, H, HQ, K, V],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, HQ], Domain::LogDecay).single().presence(Presence::OrZero),
        Port::new("sink_bias", dims![HQ], Domain::Normal).single().presence(Presence::OrMinusInfinity),
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
    function: function!(attn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn a_sink_at_the_height_of_the_only_logit_takes_half() {
        let expected = "o=3 d_q=7.5 d_k=0 d_v=0.5 d_sink_bias=-1.5";
        check(&SPEC, "B=1 T=1 H=1 HQ=1 K=1 V=1 scale=1 absent=g", "q=0 k=5 v=6 sink_bias=0", "d_o=1", expected);
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // equal products, of which the gate halves the first: weights 1/3 and 2/3
        let third = 1.0 / 3.0;
        check(
            &SPEC,
            "B=1 T=2 H=1 HQ=1 K=1 V=1 scale=1 absent=sink_bias",
            &format!("q=0,0 k=3,1 v=3,6 g=-7,{HALF}"),
            "d_o=0,1",
            &format!("o=3,5 d_q=0,{} d_k=0,0 d_v={third},{} d_g=0,{}", -4.0 * third, 2.0 * third, -2.0 * third),
        );
    }

    #[test]
    fn two_queries_share_a_key_and_see_a_window() {
        let inputs = "q=0,0,0,0,0,0 k=7,8,9 v=1,3,5";
        check(&SPEC, "B=1 T=3 H=1 HQ=2 K=1 V=1 window=2 absent=g+sink_bias", inputs, "", "o=1,1,2,2,4,4");
    }
}
