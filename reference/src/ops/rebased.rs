//! Attention whose weights are the squares of the scores.
//!
//! $$ w_{ij} = s_{ij}^2, \quad s_{ij} = s\, q_i^\top k_j, \quad
//!    o_i = \frac{\sum_{j \le i} w_{ij} v_j}{\sum_{j \le i} w_{ij} + \varepsilon} $$
//!
//! with $s$ = `scale`, $\varepsilon$ = `eps`, and without the denominator when `normalize` is false. The denominator
//! has no lower bound but `eps`: where all scores of a token are small, as at a first token whose key is nearly
//! orthogonal to its query, the gradients of q and k are differences of terms of size $1/s$, and rounding errors are as
//! large. Hence the numbers that stand for q and k are positive when `normalize` is true.
//!
//! # Errors
//! C1: `eps` is positive.
//!
//! Paper: Aksenov et al., *Linear Transformers with Learnable Kernel Functions are Better In-Context Models*, 2024;
//! its affine map of q and k is made before the call.
//! Upstream: `fla/ops/rebased` of 0.6.0, where `normalize` is `use_normalize`, and the scale is $K^{-1/2}$ or, without
//! `use_scale`, 1. Neither states nor packed sequences exist there. Its naive code has 1e-6 for the default of `eps`.

use ndarray::{Array1, Array2, Axis, Slice};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The default of `eps`.
const EPSILON: f64 = 1e-5;

fn rebased<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let eps = F::from_f64(x.problem.number("eps").unwrap_or(EPSILON));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for i in x.asked() {
        let weight = |j| {
            let s = scale * F::dot(q.row(i), k.row(j));
            s * s
        };
        let w: Array1<F> = (0..=i).map(weight).collect();
        let z = w.iter().copied().sum::<F>() + eps;
        for (o_ic, v_col) in o.row_mut(i).iter_mut().zip(v.columns()) {
            let sum = F::dot(w.view(), v_col.slice_axis(Axis(0), Slice::from(..=i)));
            *o_ic = if x.problem.flag("normalize") { sum / z } else { sum };
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rebased",
    level: Level::Op,
    summary: "w = (scale q kᵀ)²;  o = Σ w v / (Σ w + eps)",
    source: "Aksenov et al. 2024 (arXiv 2402.10644)",
    upstream: &["fla.ops.rebased.parallel_rebased"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal).domain_if(&[("normalize", Domain::Fraction)]),
        Port::new("k", dims![B, T, H, K], Domain::Normal).domain_if(&[("normalize", Domain::Fraction)]),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, H, V], Domain::Normal)],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("normalize", true, "divide by the sum of the weights and eps"),
        Attr::number("eps", EPSILON, 0.375, "added to the sum of the weights"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "eps is positive",
        holds: |p| p.number("eps").is_some_and(|eps| eps > 0.0),
        break_it: |p| _ = p.attrs.insert("eps", Value::Number(0.0)),
        mend: |p| _ = p.attrs.remove("eps"),
    }],
    independent: dims![B, H],
    states: &[],
    function: function!(rebased),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_token_and_its_gradients() {
        // w = 1 beside eps = 1: half of v, and d_w = v eps / (w + eps)²
        let inputs = "q=1 k=1 v=4";
        check(&SPEC, "B=1 T=1 H=1 K=1 V=1 eps=1", inputs, "d_o=1", "o=2 d_q=2 d_k=2 d_v=0.5");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // scores 1; 2, −2: weights 1; 4, 4 with slopes 2; 4, −4
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1 normalize=false",
            "q=1,2 k=1,-1 v=2,4",
            "d_o=1,1",
            "o=2,24 d_q=4,24 d_k=20,-32 d_v=5,4",
        );
    }

    #[test]
    fn the_default_eps_is_that_of_the_op() {
        check(&SPEC, "B=1 T=1 H=1 K=4 V=1", "q=1,0,0,0 k=2,0,0,0 v=3", "", &format!("o={}", 3.0 / 1.00001));
    }
}
