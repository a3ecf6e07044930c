//! Causal softmax attention minus the covariance, under its weights, of the values and a second score.
//!
//! $$ p_{ij} \propto e^{s\, q_i^\top k_j}, \qquad o_i = \Bigl(1 + \sum_j p_{ij}\, r_i^\top k_j\Bigr) \sum_j p_{ij} v_j
//!    - \sum_j p_{ij}\, (r_i^\top k_j)\, v_j, \qquad 0 \le i - j < W $$
//!
//! with $s$ = `scale`, which does not touch the second score, and $W$ = `window`, the query's own token included. This is
//! attention plus its derivative by q along $-r / s$. The two terms cancel where the weights favour one key, and
//! altogether at the first token: the error is relative to $|r_i^\top k_j|$, not to o.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads. C2: a window is a whole number of at least one token.
//!
//! Paper: Zuo et al. on parameterized local linear attention (*Parallax*), 2026, algorithm 1.
//! Upstream: `fla/ops/parallax` of 0.6.0, where the window is `window_size`. The kernel takes 16-bit inputs alone; the
//! naive code may look ahead (`causal=False`). Keys and values have one width.

use ndarray::{Array1, Array2, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn parallax<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, v) = (x.matrix("q"), x.matrix("v"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for i in x.asked() {
        let (z, score) = (products(x, "q", i).mapv(|x| scale * x), products(x, "r", i));
        let max = F::from_f64(z.iter().fold(f64::NEG_INFINITY, |max, z| max.max(z.value())));
        let p = z.mapv(|z| (z - max).exp());
        let scored: Array1<F> = p.iter().zip(&score).map(|(&p_j, &score_j)| p_j * score_j).collect();
        let total: F = p.iter().copied().sum();
        let mean_score = scored.iter().copied().sum::<F>() / total;
        let seen = v.slice_axis(Axis(0), (i + 1 - p.len()..=i).into());
        for (o_j, v_col) in o.row_mut(i).iter_mut().zip(seen.columns()) {
            let (mean, scored_mean) = (F::dot(p.view(), v_col) / total, F::dot(scored.view(), v_col) / total);
            *o_j = (F::one() + mean_score) * mean - scored_mean;
        }
    }
    vec![o.into_dyn()]
}

/// The products of a row of `q` or `r` with the keys that it sees, that of its own token last.
fn products<F: Real>(x: &Unit<'_, F>, name: &str, i: usize) -> Array1<F> {
    let (rows, k) = (x.matrix(name), x.matrix("k"));
    let window = x.problem.number("window").map_or(x.tokens, |w| w as usize);
    ((i + 1).saturating_sub(window)..=i).map(|j| F::dot(rows.row(i), k.row(j))).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "parallax",
    level: Level::Op,
    summary: "o = (1 + Σ p rᵀ k) Σ p v − Σ p (rᵀ k) v;  p = softmax(scale qᵀ k), over a causal window",
    source: "Zuo et al. 2026 (arXiv 2605.29157), algorithm 1",
    upstream: &["fla.ops.parallax.naive_parallax", "fla.ops.parallax.parallel_parallax"],
    sizes: dims![B, T, H, HQ, K],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("r", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, K], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, HQ, K], Domain::Normal)],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q, not on r; auto is K^-1/2"),
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
    function: function!(parallax),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_token_has_no_covariance() {
        let expected = "o=4,8 d_q=0,0 d_r=0,0 d_k=0,0 d_v=1,2";
        check(&SPEC, "B=1 T=1 H=1 HQ=1 K=2", "q=1,1 r=2,1 k=1,2 v=4,8", "d_o=1,2", expected);
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // equal weights: v is 4 ± 2 and the score 10 ± 5, so their covariance is 10
        check(
            &SPEC,
            "B=1 T=2 H=1 HQ=1 K=1 scale=1",
            "q=0,0 r=1,5 k=1,3 v=2,6",
            "d_o=0,1",
            "o=2,-6 d_q=0,2 d_r=0,-2 d_k=5,-5 d_v=3,-2",
        );
    }

    #[test]
    fn two_queries_share_a_key_and_see_a_window() {
        let inputs = "q=0,0,0,0,0,0 r=0,0,0,0,5,0 k=9,1,3 v=7,2,6";
        check(&SPEC, "B=1 T=3 H=1 HQ=2 K=1 window=2", inputs, "", "o=7,7,4.5,4.5,-6,4");
    }
}
