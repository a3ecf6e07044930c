//! The delta rule with a scalar decay and a key of its own for the reading, which comes before the decay.
//!
//! $$ u_t = \beta_t (v_t - h_{t-1}^\top p_t), \quad h_t = e^{g_t} h_{t-1} + k_t u_t^\top, \quad
//!    o_t = s\, h_t^\top q_t $$
//!
//! The transition is $e^{g} I - \beta k p^\top$. Contractive when p is a multiple of a unit k by at most $e^{g}$; with
//! a p that points elsewhere its norm may exceed 1, and where the decay does not make up for it, states grow with T.
//! `qk_l2norm` replaces q, k and p by $x / \sqrt{\sum x^2 + 10^{-6}}$.
//!
//! # Errors
//! C1: the value heads are a multiple of the key heads.
//!
//! Paper: Hu et al., *Comba: Improving Bilinear RNNs with Closed-loop Control*, 2025; its output correction is a change
//! of q before the call.
//! Upstream: `fla/ops/comba` of 0.6.0. `naive_recurrent_comba` decays before it reads, unlike the kernels and
//! `naive_chunk_comba`. In the recurrent form a missing p is k and a missing beta 1: here both are given. Its beta for
//! each value channel is not offered.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn comba<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, g, beta) = (x.matrix("v"), x.vector("g"), x.vector("beta"));
    let [q, k, p] = ["q", "k", "p"].map(|name| normalised(x, name));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let error = |(h_col, &v_j)| beta[t] * (v_j - F::dot(p.row(t), h_col));
        let u: Vec<F> = h.columns().into_iter().zip(v.row(t)).map(error).collect();
        let decay = g[t].exp();
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            for (h_ij, &u_j) in h_row.iter_mut().zip(&u) {
                *h_ij = (decay * *h_ij).mac(k_i, u_j);
            }
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// `q`, `k` or `p` as the recurrence uses it: `[T, K]`.
fn normalised<F: Real>(x: &Unit<'_, F>, name: &str) -> Array2<F> {
    let mut rows = x.matrix(name).to_owned();
    if x.problem.flag("qk_l2norm") {
        for mut row in rows.rows_mut() {
            let norm = (row.iter().map(|&x| x * x).sum::<F>() + F::from_f64(L2_EPSILON)).sqrt();
            row.mapv_inplace(|x| x / norm);
        }
    }
    rows
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "comba",
    level: Level::Op,
    summary: "u = β (v − hᵀ p);  h = exp(g) h + k uᵀ;  o = scale hᵀ q",
    source: "Hu et al. 2025 (arXiv 2506.02475)",
    upstream: &[
        "fla.ops.comba.chunk_comba",
        "fla.ops.comba.fused_recurrent_comba",
        "fla.ops.comba.naive_chunk_comba",
        "fla.ops.comba.naive_recurrent_comba",
    ],
    sizes: dims![B, T, H, HV, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, HV, V], Domain::Normal),
        Port::new("p", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("g", dims![B, T, HV], Domain::LogDecay).single(),
        Port::new("beta", dims![B, T, HV], Domain::Fraction).single(),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, HV, V], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("qk_l2norm", false, "normalise q, k and p to unit length first"),
    ],
    constraints: &[Constraint::grouped_values("C1")],
    independent: dims![B, HV],
    states: &[State::new("h0", "ht")],
    function: function!(comba),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn it_reads_under_one_key_and_writes_under_another() {
        // the first row is subtracted from v, the second is written
        let inputs = "q=1,1 k=0,1 p=1,0 v=5,6 g=0 beta=1 h0=1,2,3,4";
        check(&SPEC, "B=1 T=1 H=1 HV=1 K=2 V=2 scale=1", inputs, "", "ht=1,2,7,8 o=8,10");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // u = (3 − 2)/2, h = 2/2 + u; u = 5 − 2·1.5, h = 1.5/2 + u; d_h at the first token is 1/2 − 2
        check(
            &SPEC,
            "B=1 T=2 H=1 HV=1 K=1 V=1 scale=1",
            &format!("q=2,1 k=1,1 p=1,2 v=3,5 g={HALF},{HALF} beta=0.5,1 h0=2"),
            "d_o=0,1",
            "o=3,2.75 ht=2.75 d_q=0,2.75 d_k=-0.75,2 d_p=1.5,-1.5 d_v=-0.75,1 d_g=-1.5,0.75 d_beta=-1.5,2 d_h0=0",
        );
    }

    #[test]
    fn three_vectors_are_normalised() {
        let inputs = format!("q=3,4 k=0,2 p=2,0 v=6 g={HALF} beta=1 h0=8,8");
        let (q, n) = ((25.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
        let second = 4.0 + n * (6.0 - 8.0 * n);
        let expected = format!("ht=4,{second} o={}", (3.0 * 4.0 + 4.0 * second) / q);
        check(&SPEC, "B=1 T=1 H=1 HV=1 K=2 V=1 scale=1 qk_l2norm=true", &inputs, "", &expected);
    }
}
