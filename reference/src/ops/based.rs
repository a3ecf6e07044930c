//! Attention whose weights are the exponential series of the score up to its second order.
//!
//! $$ w_{ij} = 1 + s_{ij} + \tfrac12 s_{ij}^2, \quad s_{ij} = s\, q_i^\top k_j, \quad
//!    o_i = \frac{\sum_{j \le i} w_{ij} v_j}{\sum_{j \le i} w_{ij} + 10^{-6}} $$
//!
//! with $s$ = `scale`, and without the denominator when `normalize` is false. Well conditioned: $w \ge 1/2$, so that
//! the denominator is a sum of positive terms and at least half the number of tokens.
//!
//! Paper: Arora et al., *Simple linear attention language models balance the recall-throughput tradeoff*, 2024:
//! Taylor linear attention.
//! Upstream: `fla/ops/based` of 0.6.0, where `normalize` is `use_norm`, and neither states nor packed sequences exist.

use ndarray::{Array1, Array2, Axis, Slice};

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of the weights.
const EPSILON: f64 = 1e-6;

fn based<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for i in x.asked() {
        let weight = |j| {
            let s = scale * F::dot(q.row(i), k.row(j));
            F::one() + s + F::from_f64(0.5) * s * s
        };
        let w: Array1<F> = (0..=i).map(weight).collect();
        let z = w.iter().copied().sum::<F>() + F::from_f64(EPSILON);
        for (o_ic, v_col) in o.row_mut(i).iter_mut().zip(v.columns()) {
            let sum = F::dot(w.view(), v_col.slice_axis(Axis(0), Slice::from(..=i)));
            *o_ic = if x.problem.flag("normalize") { sum / z } else { sum };
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "based",
    level: Level::Op,
    summary: "w = 1 + s + s²/2, s = scale q kᵀ;  o = Σ w v / Σ w",
    source: "Arora et al. 2024 (arXiv 2402.18668), Taylor linear attention",
    upstream: &["fla.ops.based.fused_chunk_based", "fla.ops.based.parallel_based"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, H, V], Domain::Normal)],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("normalize", true, "divide by the sum of the weights"),
    ],
    constraints: &[],
    independent: dims![B, H],
    states: &[],
    function: function!(based),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_first_token_gets_its_own_value() {
        let expected = format!("o={},{}", 3.0 * 5.0 / (5.0 + 1e-6), 4.0 * 5.0 / (5.0 + 1e-6));
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 scale=0.5", "q=1,1 k=1,3 v=3,4", "", &expected);
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // scores 1; 2, −2: weights 2.5; 5, 1 with slopes 2; 3, −1
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1 normalize=false",
            "q=1,2 k=1,-1 v=2,4",
            "d_o=1,1",
            "o=5,14 d_q=4,10 d_k=16,-8 d_v=7.5,1",
        );
    }

    #[test]
    fn without_scores_it_is_the_mean() {
        let expected = format!("o={},{}", 2.0 / (1.0 + 1e-6), 6.0 / (2.0 + 1e-6));
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1", "q=0,0 k=1,1 v=2,4", "", &expected);
    }
}
