//! Causal softmax attention over products whose channels decay each at its own rate.
//!
//! $$ z_{ij} = s \sum_n q_{in} k_{jn} \prod_{l=j+1}^{i} e^{g_{ln}} + \sum_{l=j+1}^{i} c_l, \qquad
//!    o_i = \frac{\sum_j e^{z_{ij}} v_j}{e^{b} + \sum_j e^{z_{ij}}}, \qquad 0 \le i - j < W $$
//!
//! with $s$ = `scale`, $c$ = `g_scalar` (0 when absent), $b$ = `sink_bias` ($-\infty$ when absent) and $W$ = `window`, the
//! query's own token included. A logit fades towards 0, not towards $-\infty$: what decays is neutral, not forgotten.
//! Well conditioned for $g \le 0$; growth would multiply the logits, and with them the errors of the weights.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads. C2: a window is a whole number of at least one token.
//!
//! Paper: none is named upstream, which credits Averbuch & Pai of Tilde Research; the products are the scores of Yang
//! et al., *Gated Linear Attention Transformers with Hardware-Efficient Training*, 2024.
//! Upstream: `fla/ops/wall_attn` of 0.6.0, where the window is `window_size`. Its exponents are clamped at 0, so positive
//! g gives wrong results and gradients that are not numbers. Decoding is the last rows of the same from keys that a
//! cache holds decayed to an anchor of their chunk: `build_wall_kv_cache` writes $k_j e^{P_c - P_j}$ with $P$ the
//! cumulative gate, `parallel_wall_attn_decode` reads it with $q_i e^{P_i - P_c}$; its prefixes and the logarithm of the
//! denominator that it returns beside o are to base 2.

use ndarray::{Array1, Array2, Axis, Zip};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn wall_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, sink) = (x.matrix("v"), x.scalar("sink_bias"));
    let decay = x.matrix("g").mapv(F::exp);
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for i in x.asked() {
        let z = logits(x, &decay, i);
        let max = F::from_f64(z.iter().fold(sink.value(), |max, z| max.max(z.value())));
        let p = z.mapv(|z| (z - max).exp());
        let total = p.iter().copied().sum::<F>() + (sink - max).exp();
        let seen = v.slice_axis(Axis(0), (i + 1 - p.len()..=i).into());
        for (o_j, v_col) in o.row_mut(i).iter_mut().zip(seen.columns()) {
            *o_j = F::dot(p.view(), v_col) / total;
        }
    }
    vec![o.into_dyn()]
}

/// The logits of a query with the keys that it sees, its own last.
fn logits<F: Real>(x: &Unit<'_, F>, decay: &Array2<F>, i: usize) -> Array1<F> {
    let (q, k, c) = (x.matrix("q"), x.matrix("k"), x.vector("g_scalar"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let window = x.problem.number("window").map_or(x.tokens, |w| w as usize);
    let (mut z, mut q, mut gates) = (Vec::new(), q.row(i).to_owned(), F::zero());
    for j in (0..=i).rev().take(window) {
        z.push(scale * F::dot(q.view(), k.row(j)) + gates);
        Zip::from(&mut q).and(decay.row(j)).for_each(|q_n, &decay_n| *q_n = decay_n * *q_n);
        gates = gates + c[j];
    }
    z.reverse();
    Array1::from(z)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "wall_attn",
    level: Level::Op,
    summary: "o = Σ exp(z) v / (exp(sink_bias) + Σ exp(z));  z = scale qᵀ (Π exp(g) k) + Σ g_scalar, over a window",
    source: "none named; scores of Yang et al. 2024 (arXiv 2312.06635)",
    upstream: &[
        "fla.ops.wall_attn.build_wall_kv_cache",
        "fla.ops.wall_attn.naive_wall_attn",
        "fla.ops.wall_attn.parallel_wall_attn",
        "fla.ops.wall_attn.parallel_wall_attn_decode",
    ],
    sizes: dims![B, T, H, HQ, K, V],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, HQ, K], Domain::LogDecay).single(),
        Port::new("g_scalar", dims![B, T, HQ], Domain::LogDecay).single().presence(Presence::OrZero),
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
    function: function!(wall_attn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn channels_decay_at_their_own_rates() {
        // the second query meets k₁ as 1, 1 after the decays by 1/2 and 1/4: both logits are 4
        check(
            &SPEC,
            "B=1 T=2 H=1 HQ=1 K=2 V=1 scale=1 absent=g_scalar+sink_bias",
            &format!("q=0,0,2,2 k=2,4,2,0 v=2,6 g=-1,-1,{HALF},{}", 2.0 * HALF),
            "d_o=0,1",
            "o=2,4 d_q=0,0,1,-1 d_k=-1,-0.5,2,2 d_v=0.5,0.5 d_g=0,0,-2,-2",
        );
    }

    #[test]
    fn a_scalar_gate_a_sink_and_a_window() {
        // weights 1/2 and 1 beside a sink of 1; the third query sees the last two
        let inputs = format!("q=0,0,0 k=1,2,3 v=2,4,4 g=-1,-2,-3 g_scalar=-5,{HALF},{HALF} sink_bias=0");
        check(&SPEC, "B=1 T=3 H=1 HQ=1 K=1 V=1 window=2", &inputs, "", "o=1,2,2.4");
    }
}
