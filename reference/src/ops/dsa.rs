//! Softmax attention of each token to tokens that were chosen for it.
//!
//! $$ o_t = \frac{\sum_{j \in S_t} e^{s_{tj}} v_j}{\sum_{j \in S_t} e^{s_{tj}}}, \quad s_{tj} = s\, q_t^\top k_j, \quad
//!    S_t = \{ j \in I_t : 0 \le j \le t \} $$
//!
//! with $s$ = `scale` and the tokens $I_t$ = `indices` of the sequence, the same for all heads; −1 stands for no token,
//! and later tokens are not seen. Where nothing is seen, $o_t = 0$. Well conditioned, like every average.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads. An index beyond the sequence, or twice for one token.
//!
//! Paper: DeepSeek-AI, *DeepSeek-V3.2*, 2025: DeepSeek sparse attention, after its indexer has chosen.
//! Upstream: `fla/ops/dsa` of 0.6.0, which can also choose, by a lightning indexer without a gradient, and whose output
//! is NaN where nothing is seen.

use ndarray::{Array1, Array2, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn dsa<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v, indices) = (x.matrix("q"), x.matrix("k"), x.matrix("v"), x.matrix("indices"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in x.asked() {
        let listed = indices.row(t).into_iter().map(|j| j.value());
        let seen: Vec<usize> = listed.filter(|&j| j >= 0.0 && j <= t as f64).map(|j| j as usize).collect();
        if seen.is_empty() {
            continue;
        }
        let s: Array1<F> = seen.iter().map(|&j| scale * F::dot(q.row(t), k.row(j))).collect();
        let largest = F::from_f64(s.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.value())));
        let p = s.mapv(|s| (s - largest).exp());
        let total: F = p.iter().copied().sum();
        for (o_c, v_col) in o.row_mut(t).iter_mut().zip(v.select(Axis(0), &seen).columns()) {
            *o_c = F::dot(p.view(), v_col) / total;
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "dsa",
    level: Level::Op,
    summary: "o = Σ softmax(scale q·kⱼ) vⱼ over the tokens j that are listed for each token",
    source: "DeepSeek-AI 2025 (arXiv 2512.02556), sparse attention",
    upstream: &["fla.ops.dsa.naive_dsa"],
    sizes: dims![B, T, H, HQ, K, V, L],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("indices", dims![B, T, L], Domain::Blocks(None)).index(),
    ],
    outputs: &[Port::new("o", dims![B, T, HQ, V], Domain::Normal)],
    attrs: &[Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2")],
    constraints: &[Constraint::grouped_queries("C1")],
    independent: dims![B, HQ],
    states: &[],
    function: function!(dsa),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    const LN_3: f64 = 1.0986122886681098;

    #[test]
    fn one_token_sees_itself_and_two_are_averaged() {
        // token 1 weighs 1 : 3, token 0 has nothing but itself although token 1 is listed
        let inputs = format!("q=5,1 k=0,{LN_3} v=8,4 indices=0,1,0,1");
        let gradients = format!("d_v=1.25,0.75 d_q=0,{} d_k=0.75,-0.75", -0.75 * LN_3);
        check(&SPEC, "B=1 T=2 H=1 HQ=1 K=1 V=1 L=2 scale=1", &inputs, "d_o=1,1", &format!("o=8,5 {gradients}"));
    }

    #[test]
    fn two_heads_share_keys_and_what_sees_nothing_is_zero() {
        let inputs = "q=1,2,3,4 k=7,7 v=2,6 indices=-1,0";
        check(&SPEC, "B=1 T=2 H=1 HQ=2 K=1 V=1 L=1", inputs, "d_o=1,1,1,1", "o=0,0,2,2 d_v=2,0 d_q=0,0,0,0 d_k=0,0");
    }
}
