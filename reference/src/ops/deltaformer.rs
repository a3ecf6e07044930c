//! Causal attention over values from which attention to the past has been subtracted.
//!
//! $$ u_t = v_t - \beta_t \sum_{j < t} p_{tj} u_j, \qquad o_t = \sum_{j \le t} a_{tj} u_j $$
//!
//! where $p_t$ is the softmax of $K^{-1/2} q_t \cdot k_j$ over $j < t$, $a_t$ that of the same scores over $j \le t$,
//! and $u_0 = v_0$: $U = (I + \operatorname{diag}(\beta) P)^{-1} V$. With $0 \le \beta \le 1$ no u is larger than the
//! t + 1 largest v together, and than $1 / (1 - \beta)$ of them.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: *Understanding Transformer from the Perspective of Associative Memory*, 2025.
//! Upstream: `fla/ops/deltaformer` of 0.6.0, where values are as wide as keys.

use ndarray::{Array2, Axis, aview1};

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn deltaformer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v, beta) = (x.matrix("q"), x.matrix("k"), x.matrix("v"), x.vector("beta"));
    let scale = F::from_f64((q.ncols() as f64).powf(-0.5));
    let mut u = v.to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.asked().end {
        let scores: Vec<F> = (0..=t).map(|j| scale * F::dot(q.row(t), k.row(j))).collect();
        let (before, until) = (softmax(&scores[..t]), softmax(&scores));
        for j in 0..v.ncols() {
            u[[t, j]] = v[[t, j]] - beta[t] * F::dot(aview1(&before), u.column(j).split_at(Axis(0), t).0);
            if x.asked().contains(&t) {
                o[[t, j]] = F::dot(aview1(&until), u.column(j).split_at(Axis(0), t + 1).0);
            }
        }
    }
    vec![o.into_dyn()]
}

fn softmax<F: Real>(scores: &[F]) -> Vec<F> {
    let top = F::from_f64(scores.iter().map(|s| s.value()).fold(f64::NEG_INFINITY, f64::max));
    let weights: Vec<F> = scores.iter().map(|&s| (s - top).exp()).collect();
    let sum: F = weights.iter().copied().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "deltaformer",
    level: Level::Op,
    summary: "u = v − β Σ softmax(K^-1/2 q·kⱼ, j < t) uⱼ;  o = Σ softmax(K^-1/2 q·kⱼ, j ≤ t) uⱼ",
    source: "Understanding Transformer from the Perspective of Associative Memory, 2025 (arXiv 2505.19488)",
    upstream: &["fla.ops.deltaformer.deltaformer_attn", "fla.ops.deltaformer.naive_deltaformer_attn"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("beta", dims![B, T, H], Domain::Fraction).single().presence(Presence::OrOne),
    ],
    outputs: &[Port::new("o", dims![B, T, H, V], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B, H],
    states: &[],
    function: function!(deltaformer),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_first_token_keeps_its_value() {
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2", "q=1,2 k=3,4 v=5,6 beta=0.5", "d_o=1,1", "o=5,6 d_v=1,1 d_beta=0 d_q=0,0");
    }

    #[test]
    fn equal_scores_and_their_gradients() {
        // u = 6, 2 − 6/2; and the second token sees (6 − 1)/2
        let inputs = "q=1,0 k=1,1 v=6,2 beta=1,0.5";
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1", inputs, "d_o=0,1", "o=6,2.5 d_v=0.25,0.5 d_beta=0,-3 d_q=0,0 d_k=0,0");
    }

    #[test]
    fn two_softmaxes_with_a_sum_of_their_own() {
        // the exponentials of the scores are 1, 3, 4; u = 4, 12 − 4, 8 − (4 + 3·8)/4; and (4 + 3·8 + 4·1)/8
        let ln = f64::ln;
        let inputs = format!("q=0,0,1 k=0,{},{} v=4,12,8", ln(3.0), ln(4.0));
        check(&SPEC, "B=1 T=3 H=1 K=1 V=1 absent=beta", &inputs, "", "o=4,6,4");
    }
}
