//! Attention by breaking a stick: from the query back, each key takes a sigmoid's share of what the nearer ones left.
//!
//! $$ z_{ij} = s\, q_i^\top k_j, \qquad A_{ij} = \sigma(z_{ij}) \prod_{l > j} (1 - \sigma(z_{il})), \qquad
//!    o_i = \sum_j A_{ij} v_j, \qquad r_i = \prod_j (1 - \sigma(z_{ij})) $$
//!
//! with $s$ = `scale` and $r$ = `rem`, over the tokens $j < i$, or $j \le i$ with `attend_current`: a first query without
//! any leaves the stick whole. Shares and remainder are positive and add up to 1. Well conditioned, but for the
//! remainder: its relative error grows with the number of keys, and that of $1 - \sigma(z)$ without bound where it is
//! taken as a difference.
//!
//! # Errors
//! C1: the query heads are a multiple of the key heads.
//!
//! Paper: Tan et al., *Scaling Stick-Breaking Attention: An Efficient Implementation and In-depth Study*, 2024, where
//! stick-breaking attention is defined.
//! Upstream: `fla/ops/stickbreaking_attn` of 0.6.0. Its kernel works on logarithms and takes the softplus of a logit
//! above 15 ln 2 for the logit: at such a key, what is left is off by up to 3e-5 of itself.

use ndarray::{Array1, Array2, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn stickbreaking_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    let mut rem = Array1::from_elem(x.tokens, F::one());
    for i in x.asked() {
        let seen = if x.problem.flag("attend_current") { i + 1 } else { i };
        let mut shares = Array1::from_elem(seen, F::zero());
        for j in (0..seen).rev() {
            let z = scale * F::dot(q.row(i), k.row(j));
            shares[j] = rem[i] * z.sigmoid();
            rem[i] = rem[i] * (-z).sigmoid();
        }
        for (o_j, v_col) in o.row_mut(i).iter_mut().zip(v.slice_axis(Axis(0), (..seen).into()).columns()) {
            *o_j = F::dot(shares.view(), v_col);
        }
    }
    vec![o.into_dyn(), rem.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "stickbreaking_attn",
    level: Level::Op,
    summary: "o = Σ A v;  A_ij = σ(z_ij) Π_{l>j} (1 − σ(z_il));  rem = Π (1 − σ(z));  z = scale qᵀ k",
    source: "Tan et al. 2024 (arXiv 2410.17980)",
    upstream: &[
        "fla.ops.stickbreaking_attn.naive_stickbreaking_attn",
        "fla.ops.stickbreaking_attn.parallel_stickbreaking_attn",
    ],
    sizes: dims![B, T, H, HQ, K, V],
    inputs: &[
        Port::new("q", dims![B, T, HQ, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, HQ, V], Domain::Normal), Port::new("rem", dims![B, T, HQ], Domain::Fraction)],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("attend_current", false, "a query sees its own token, and it breaks the stick first"),
    ],
    constraints: &[Constraint::grouped_queries("C1")],
    independent: dims![B, HQ],
    states: &[],
    function: function!(stickbreaking_attn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn every_key_takes_half_of_what_is_left() {
        let (fields, inputs) = ("B=1 T=3 H=1 HQ=1 K=1 V=1", "q=0,0,0 k=1,2,3 v=8,4,2");
        check(&SPEC, fields, inputs, "", "o=0,4,4 rem=1,0.5,0.25");
        check(&SPEC, &format!("{fields} attend_current=true"), inputs, "", "o=4,4,3 rem=0.5,0.25,0.125");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // o₂ = σ(z) v₁ and rem₂ = 1 − σ(z) at z = q₂ k₁ = 0, where the slope is 1/4: d_z = 6/4 − 2/4
        check(
            &SPEC,
            "B=1 T=2 H=1 HQ=1 K=1 V=1 scale=1",
            "q=5,0 k=4,3 v=6,7",
            "d_o=1,1 d_rem=1,2",
            "o=0,3 rem=1,0.5 d_q=0,4 d_k=0,0 d_v=0.5,0",
        );
    }

    #[test]
    fn a_remainder_too_small_for_a_difference() {
        // 1 − σ(50) is e^-50 to 22 digits
        let expected = format!("o=0,0,2,2 rem=1,1,{},{}", (-50f64).exp(), (-50f64).exp());
        check(&SPEC, "B=1 T=2 H=1 HQ=2 K=1 V=1 scale=1", "q=1,1,50,50 k=1,1 v=2,9", "", &expected);
    }
}
