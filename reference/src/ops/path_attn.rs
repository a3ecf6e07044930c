//! Causal softmax attention whose keys are transported to the query by products of rank-one transitions, as they depend
//! on the data.
//!
//! $$ o_t = \sum_{j \le t} p_{tj} v_j, \qquad
//! p_t = \operatorname{softmax}_j\, s \left( q_t^\top H_t H_{t-1} \cdots H_{j+1} k_j + g_{j+1} + \dots + g_t \right),
//!    \qquad H_i = I - \beta_i w_i w_i^\top $$
//!
//! with $s$ = `scale`, which multiplies the gates too. The transitions do not grow while w is of unit length and
//! $0 \le \beta \le 2$.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads.
//!
//! Paper: Yang et al., *PaTH Attention: Position Encoding via Accumulating Householder Transformations*, 2025.
//! Upstream: `fla/ops/path_attn` of 0.6.0, which returns on demand the keys as transported to the end, without a
//! gradient.

use ndarray::{Array2, Axis, aview1};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn path_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let (w, beta, g) = (x.matrix("w"), x.vector("beta"), x.vector("g"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in x.asked() {
        let (mut read, mut gate) = (q.row(t).to_owned(), F::zero());
        let mut scores = vec![F::zero(); t + 1];
        for j in (0..=t).rev() {
            scores[j] = scale * (F::dot(read.view(), k.row(j)) + gate);
            let along = beta[j] * F::dot(read.view(), w.row(j));
            read.zip_mut_with(&w.row(j), |r_i, &w_i| *r_i = r_i.mac(-along, w_i));
            gate = gate + g[j];
        }
        let p = softmax(&scores);
        for (o_j, v_col) in o.row_mut(t).iter_mut().zip(v.columns()) {
            *o_j = F::dot(aview1(&p), v_col.split_at(Axis(0), t + 1).0);
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
    name: "path_attn",
    level: Level::Op,
    summary: "o = Σ softmax(scale (qᵀ Π (I − β w wᵀ) kⱼ + g of j+1…t), j ≤ t) vⱼ, the product from t down to j+1",
    source: "Yang et al. 2025 (arXiv 2505.16381)",
    upstream: &["fla.ops.path_attn.naive_path_attn", "fla.ops.path_attn.parallel_path_attn"],
    sizes: dims![B, T, H, HQ, K, V],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("w", dims![B, T, H, K], Domain::UnitKey).single(),
        Port::new("beta", dims![B, T, H], Domain::Uniform(0.0, 2.0)).single(),
        Port::new("g", dims![B, T, HQ], Domain::LogDecay).single().presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, HQ, V], Domain::Normal)],
    attrs: &[Attr::auto("scale", 0.375, "factor on scores and gates; auto is K^-1/2")],
    constraints: &[Constraint::grouped_queries("C1")],
    independent: dims![B, HQ],
    states: &[],
    function: function!(path_attn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_token_sees_itself() {
        let expected = "o=3,4 d_v=1,1 d_q=0 d_k=0 d_w=0 d_beta=0 d_g=0";
        check(&SPEC, "B=1 T=1 H=1 HQ=1 K=1 V=2", "q=1 k=2 v=3,4 w=1 beta=1 g=-1", "d_o=1,1", expected);
    }

    #[test]
    fn a_transition_turns_the_key_that_is_past() {
        // (1, 1) read through I − 2 w wᵀ is (−1, 1), and the other score is 0: e^(ln 3 − 0) to 1
        let inputs = format!("q=9,9,1,1 k=0,{0},5,-5 v=8,4 w=0,0,1,0 beta=2,2", 3f64.ln());
        check(&SPEC, "B=1 T=2 H=1 HQ=1 K=2 V=1 scale=1 absent=g", &inputs, "", "o=8,7");
    }

    #[test]
    fn scale_multiplies_gates_and_the_first_of_each_is_never_used() {
        // the scores are 2 (½ ln 3 − ½ ln 3) and 0
        let inputs = format!("q=1,1 k={0},0 v=8,4 w=1,1 beta=1,0 g=7,{1}", 0.5 * 3f64.ln(), -0.5 * 3f64.ln());
        let expected = format!("o=8,6 d_v=0.5,0.5 d_g=0,2 d_beta=0,{} d_k=2,-2", -(3f64.ln()));
        check(&SPEC, "B=1 T=2 H=1 HQ=1 K=1 V=1 scale=2", &inputs, "d_o=0,1", &expected);
    }
}
