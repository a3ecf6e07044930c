//! Linear attention whose keys are weights of an average, in each key channel by itself.
//!
//! $$ z_t = \ln(e^{z_{t-1}} + e^{k_t}), \qquad
//! h_t = \operatorname{diag}(e^{z_{t-1} - z_t})\, h_{t-1} + e^{k_t - z_t} v_t^\top, \qquad o_t = s\, h_t^\top q_t $$
//!
//! with $s$ = `scale`. Row $i$ of h is the softmax average of the values so far under the logits $k_{\cdot i}$: decay
//! and weight of a token are sigmoids of $\pm (z_{t-1} - k_t)$ and add up to 1, so it is well conditioned for any k.
//!
//! An absent `z0` is minus infinity, a history without weight. The arithmetic holds the least `f32` in its place, which
//! is also `zt` of a sequence that has neither z0 nor tokens.
//!
//! # Errors
//! C1: an `h0` without `z0` would be an average of which nobody knows the weight.
//!
//! Paper: Qin et al., *You Only Scan Once: Efficient Multi-dimension Sequential Modeling with LightNet*, 2024, the
//! additive linear recurrence.
//! Upstream: `fla/ops/lightnet` of 0.6.0. There the states are a pair, z0 and zt are `[N, 1, H, K]`, and weights and
//! log decays are rounded to the storage type before the recurrence. An h0 without z0 is allowed there and kept whole
//! at the first token, beside a value of weight 1; zt of a sequence that has neither z0 nor tokens is −∞.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What stands for minus infinity, so that no difference of infinities arises.
const LEAST: f64 = f32::MIN as f64;

fn lightnet<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let mut h = x.matrix("h0").to_owned();
    let mut z = x.vector("z0").mapv(|z_i| if z_i.value() < LEAST { F::from_f64(LEAST) } else { z_i });
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for ((mut h_row, z_i), &k_i) in h.rows_mut().into_iter().zip(&mut z).zip(k.row(t)) {
            let ahead = *z_i - k_i;
            let (decay, weight) = (ahead.sigmoid(), (-ahead).sigmoid());
            *z_i = k_i + ahead.softplus();
            for (h_ij, &v_j) in h_row.iter_mut().zip(v.row(t)) {
                *h_ij = (decay * *h_ij).mac(weight, v_j);
            }
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn(), z.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "lightnet",
    level: Level::Op,
    summary: "z' = ln(exp(z) + exp(k));  h = diag(exp(z − z')) h + exp(k − z') vᵀ;  o = scale hᵀ q",
    source: "Qin et al. 2024 (arXiv 2405.21022)",
    upstream: &["fla.ops.lightnet.chunk_lightnet", "fla.ops.lightnet.fused_recurrent_lightnet"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("z0", dims![N, H, K], Domain::Normal).single().presence(Presence::OrMinusInfinity),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("zt", dims![N, H, K], Domain::Normal).single(),
    ],
    attrs: &[Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2")],
    constraints: &[Constraint {
        label: "C1",
        text: "h0 needs z0",
        holds: |p| !p.absent.contains("z0") || p.absent.contains("h0"),
        break_it: |p| {
            p.absent.insert("z0");
            p.absent.remove("h0");
        },
        mend: |p| _ = p.absent.insert("h0"),
    }],
    independent: dims![B, H],
    states: &[State::new("h0", "ht"), State::elementwise("z0", "zt")],
    function: function!(lightnet),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn without_a_history_the_first_value_is_the_average() {
        let fields = "B=1 T=1 H=1 K=2 V=2 scale=0.5";
        let expected = "ht=5,6,5,6 zt=7,-2 o=-5,-6";
        check(&SPEC, &format!("{fields} absent=h0+z0"), "q=1,-3 k=7,-2 v=5,6", "", expected);
        check(&SPEC, fields, "q=1,-3 k=7,-2 v=5,6 h0=8,8,8,8 z0=-1e4,-inf", "", expected);
    }

    #[test]
    fn an_average_and_its_gradients() {
        // weights 1 of h0, then 3 and 4: h = (1·4 + 3·8)/4 = 7, then (28 + 4·15)/8 = 11
        let (k1, k2) = (3f64.ln(), 4f64.ln());
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1",
            &format!("q=1,2 k={k1},{k2} v=8,15 h0=4 z0=0"),
            "d_o=0,1",
            &format!(
                "o=7,22 ht=11 zt={} d_q=0,11 d_v=0.75,1 d_h0=0.25 d_k={},4 d_z0={}",
                8f64.ln(),
                0.75 * (8.0 - 11.0),
                0.25 * (4.0 - 11.0)
            ),
        );
    }

    #[test]
    fn nothing_overflows_where_exponentials_would() {
        let inputs = "q=1,1,1 k=900,-900,1800 v=3,5,7 h0=0 z0=-900";
        check(&SPEC, "B=1 T=3 H=1 K=1 V=1", inputs, "", "o=3,3,7 ht=7 zt=1800");
    }
}
