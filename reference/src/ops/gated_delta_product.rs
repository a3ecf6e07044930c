//! The gated delta rule with several writes for a token: its transition is a decay and a product of reflections.
//!
//! $$ h_{t,0} = e^{g_t} h_{t-1}, \quad
//!    h_{t,r} = h_{t,r-1} + \beta_{t,r} k_{t,r} (v_{t,r} - h_{t,r-1}^\top k_{t,r})^\top, \quad
//!    h_t = h_{t,R}, \quad o_t = s\, h_t^\top q_t $$
//!
//! The decay comes once, before the first of the R writes; the read comes once, after the last.
//!
//! Contractive, hence well conditioned, while $g \le 0$ and $0 \le \beta \lVert k \rVert^2 \le 2$: keys must be of unit
//! length or `qk_l2norm` set, which replaces q, k by $x / \sqrt{\sum x^2 + 10^{-6}}$.
//!
//! # Errors
//! C1: the value heads are a multiple of the key heads.
//!
//! Paper: Siems et al., *DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products*, 2025.
//! Upstream: `fla/ops/gated_delta_product` of 0.6.0, where k, v and beta have T·R rows, the same bytes, R is
//! `num_householder`, and each key head has one value head.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn gated_delta_product<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.cube("k"), x.cube("v"));
    let (g, beta) = (x.vector("g"), x.matrix("beta"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut o = Array2::from_elem((x.tokens, v.dim().2), F::zero());
    for t in 0..x.tokens {
        let decay = g[t].exp();
        h.mapv_inplace(|h_ij| decay * h_ij);
        let (keys, values) = (k.index_axis(Axis(0), t), v.index_axis(Axis(0), t));
        for (r, (key, value)) in keys.rows().into_iter().zip(values.rows()).enumerate() {
            let key = prologue(x, &key);
            let missing = |(h_col, &v_j)| beta[[t, r]] * (v_j - F::dot(key.view(), h_col));
            let u: Vec<F> = h.columns().into_iter().zip(value).map(missing).collect();
            for ((i, j), h_ij) in h.indexed_iter_mut() {
                *h_ij = h_ij.mac(key[i], u[j]);
            }
        }
        let query = prologue(x, &q.row(t));
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(query.view(), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// A query or a key as the recurrence uses it: `[K]`.
fn prologue<F: Real>(x: &Unit<'_, F>, row: &ArrayView1<'_, F>) -> Array1<F> {
    if !x.problem.flag("qk_l2norm") {
        return row.to_owned();
    }
    let norm = (row.iter().map(|&x| x * x).sum::<F>() + F::from_f64(L2_EPSILON)).sqrt();
    row.mapv(|x| x / norm)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gated_delta_product",
    level: Level::Op,
    summary: "h = exp(g) h;  for each r: h += β k (v − hᵀ k)ᵀ;  o = scale hᵀ q",
    source: "Siems et al. 2025 (arXiv 2502.10297)",
    upstream: &["fla.ops.gated_delta_product.chunk_gated_delta_product"],
    sizes: dims![B, T, R, H, HV, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("k", dims![B, T, R, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, R, HV, V], Domain::Normal),
        Port::new("g", dims![B, T, HV], Domain::LogDecay).single().presence(Presence::OrZero),
        Port::new("beta", dims![B, T, R, HV], Domain::Fraction).single(),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, HV, V], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("qk_l2norm", false, "normalise q and k to unit length first"),
    ],
    constraints: &[Constraint::grouped_values("C1")],
    independent: dims![B, HV],
    states: &[State::new("h0", "ht")],
    function: function!(gated_delta_product),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_decay_two_writes_and_their_gradients() {
        // h = 4/2, then 2 + (6 − 2)/2, then 4 + (2 − 4)/4; each write keeps 1 − β of what was
        check(
            &SPEC,
            "B=1 T=1 R=2 H=1 HV=1 K=1 V=1 scale=1",
            &format!("q=2 k=1,1 v=6,2 g={HALF} beta=0.5,0.25 h0=4"),
            "d_o=1",
            "o=7 ht=3.5 d_q=3.5 d_v=0.75,0.5 d_beta=6,-4 d_g=1.5 d_h0=0.375 d_k=1.5,-3",
        );
    }

    #[test]
    fn two_full_writes_replace_two_rows() {
        let inputs = "q=1,1 k=1,0,0,1 v=5,6,7,8 g=0 beta=1,1 h0=1,2,3,4";
        check(&SPEC, "B=1 T=1 R=2 H=1 HV=1 K=2 V=2 scale=1", inputs, "", "ht=5,6,7,8 o=12,14");
    }

    #[test]
    fn queries_and_keys_are_normalised() {
        let (q, k) = ((25.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
        let second = 8.0 + k * 0.5 * (6.0 - 8.0 * k);
        let expected = format!("ht=8,{second} o={}", (3.0 * 8.0 + 4.0 * second) / q);
        let fields = "B=1 T=1 R=1 H=1 HV=1 K=2 V=1 scale=1 qk_l2norm=true";
        check(&SPEC, fields, "q=3,4 k=0,2 v=6 g=0 beta=0.5 h0=8,8", "", &expected);
    }
}
