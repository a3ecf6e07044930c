//! Attention with projections whose weights are the exponential series of the score up to its second order.
//!
//! $$ q, k, v = W_q x, W_k x, W_v x, \qquad o_i = \frac{\sum_j w_{ij} v_j}{\sum_j w_{ij} + \varepsilon}, \quad
//! w_{ij} = 1 + s_{ij} + \tfrac12 s_{ij}^2, \quad s_{ij} = K^{-1/2} q_i^\top k_j, \qquad y = W_o o $$
//!
//! per head, over $j \le i$ with $\varepsilon = 10^{-6}$ ([`ops::based`]), or without `causal` over all tokens of the
//! sequence with $\varepsilon$ = `eps`. Well conditioned: $w \ge 1/2$.
//!
//! # Errors
//! C1: V is D/H rounded down.
//!
//! Paper: Arora et al., *Simple linear attention language models balance the recall-throughput tradeoff*, 2024: Taylor
//! linear attention.
//! Upstream: `BasedLinearAttention` of `fla/layers/based.py` in 0.6.0: `feature_dim` is K, `feature_name` is
//! `taylor_exp` or nothing works, and there are as many key heads as query heads. `mode` does not change values, but
//! that $\varepsilon$ is 1e-10 in the chunk modes. It has neither states nor packed sequences.

use ndarray::{Array1, Array3, Axis};

use crate::algebra::linear;
use crate::call::Call;
use crate::mixer::{project, share};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn based_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [q, k, v] = ["q", "k", "v"].map(|name| project(x, x.matrix("x"), &format!("{name}_proj.weight")));
    let o = if x.problem.flag("causal") {
        Call::of(&ops::based::SPEC).with("q", q).with("k", k).with("v", v).run().cube("o")
    } else {
        both_ways([&q, &k, &v], x.problem.number("eps").unwrap_or(EPS))
    };
    vec![linear(&o, x.tensor("o_proj.weight"))]
}

/// Every token sees all tokens.
fn both_ways<F: Real>([q, k, v]: [&Array3<F>; 3], eps: f64) -> Array3<F> {
    let scale = F::from_f64((q.len_of(Axis(2)) as f64).powf(-0.5));
    let mut o = v.clone();
    for (h, mut o) in o.axis_iter_mut(Axis(1)).enumerate() {
        let [q, k, v] = [q, k, v].map(|x| x.index_axis(Axis(1), h));
        for (q, mut o) in q.outer_iter().zip(o.outer_iter_mut()) {
            let score = |k| scale * F::dot(q, k);
            let w: Array1<F> = k.outer_iter().map(score).map(|s| F::one() + s + F::from_f64(0.5) * s * s).collect();
            let total = w.iter().copied().sum::<F>() + F::from_f64(eps);
            o.iter_mut().zip(v.columns()).for_each(|(o, v)| *o = F::dot(w.view(), v) / total);
        }
    }
    o
}

const EPS: f64 = 1e-12;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "based_layer",
    level: Level::Layer,
    summary: "o_proj(based(q_proj x, k_proj x, v_proj x))",
    source: "Arora et al. 2024 (arXiv 2402.18668), Taylor linear attention",
    upstream: &["fla.layers.BasedLinearAttention"],
    sizes: dims![B, T, D, H, K, V],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("causal", true, "a token sees none that is later"),
        Attr::number("eps", EPS, 0.25, "added to the sum of the weights, unless causal"),
    ],
    constraints: &[share("C1")],
    independent: dims![B],
    states: &[],
    function: function!(based_layer),
};
