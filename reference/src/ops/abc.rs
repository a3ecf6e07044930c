//! Attention with bounded memory: softmax attention over a fixed number of slots, each an average of keys and values.
//!
//! $$ z_t = \ln(e^{z_{t-1}} + e^{s_t}), \qquad a_t = e^{z_{t-1} - z_t}, \quad w_t = e^{s_t - z_t} = 1 - a_t, $$
//! $$ \tilde K_t = \tilde K_{t-1} \operatorname{diag}(a_t) + k_t w_t^\top, \qquad
//! \tilde V_t = \operatorname{diag}(a_t) \tilde V_{t-1} + w_t v_t^\top, \qquad
//! o_t = \tilde V_t^\top \operatorname{softmax}(c\, \tilde K_t^\top q_t) $$
//!
//! with $c$ = `scale` and the states $\tilde K$ = `hk`, $\tilde V$ = `hv`. The key of slot $m$ is the softmax average
//! of the keys so far under the logits $s_{\cdot m}$, and its value that of the values. Well conditioned for any s.
//!
//! An absent `z0` is minus infinity, a history without weight. The arithmetic holds the least `f32` in its place, which
//! is also `zt` of a sequence that has neither z0 nor tokens.
//!
//! # Errors
//! C1: an `hk0` or `hv0` without `z0` would be an average of which nobody knows the weight.
//!
//! Paper: Peng et al., *ABC: Attention with Bounded-memory Control*, 2021, the causal form in the paper.
//! Upstream: `fla/ops/abc` of 0.6.0, whose scale is K^-1/2 and which has no packed sequences, and `fla/ops/gsa` without
//! g. The states there are the pair of hk and hv alone: they are kept whole at the first token, beside one of weight 1,
//! and cannot be resumed from. The gradients by and of the states are dropped by the former.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What stands for minus infinity, so that no difference of infinities arises.
const LEAST: f64 = f32::MIN as f64;

fn abc<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [q, k, v, s] = ["q", "k", "v", "s"].map(|name| x.matrix(name));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (mut hk, mut hv) = (x.matrix("hk0").to_owned(), x.matrix("hv0").to_owned());
    let mut z = x.vector("z0").mapv(|z_m| if z_m.value() < LEAST { F::from_f64(LEAST) } else { z_m });
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for (m, (z_m, &s_m)) in z.iter_mut().zip(s.row(t)).enumerate() {
            let ahead = *z_m - s_m;
            let (decay, weight) = (ahead.sigmoid(), (-ahead).sigmoid());
            *z_m = s_m + ahead.softplus();
            for (h_i, &k_i) in hk.column_mut(m).iter_mut().zip(k.row(t)) {
                *h_i = (decay * *h_i).mac(k_i, weight);
            }
            for (h_j, &v_j) in hv.row_mut(m).iter_mut().zip(v.row(t)) {
                *h_j = (decay * *h_j).mac(weight, v_j);
            }
        }
        o.row_mut(t).assign(&read(&q.row(t), &hk.view(), &hv.view(), scale));
    }
    vec![o.into_dyn(), hk.into_dyn(), hv.into_dyn(), z.into_dyn()]
}

/// What a query finds in the slots: `[V]`.
fn read<F: Real>(q: &ArrayView1<F>, hk: &ArrayView2<F>, hv: &ArrayView2<F>, scale: F) -> Array1<F> {
    let logits: Vec<F> = hk.columns().into_iter().map(|h_m| scale * F::dot(*q, h_m)).collect();
    let largest = F::from_f64(logits.iter().map(|l| l.value()).fold(f64::NEG_INFINITY, f64::max));
    let weights: Vec<F> = logits.into_iter().map(|l| (l - largest).exp()).collect();
    let total: F = weights.iter().copied().sum();
    let p: Array1<F> = weights.into_iter().map(|w| w / total).collect();
    hv.columns().into_iter().map(|h_j| F::dot(p.view(), h_j)).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "abc",
    level: Level::Op,
    summary: "slots are softmax averages of k and of v under logits s;  o = hvᵀ softmax(scale hkᵀ q)",
    source: "Peng et al. 2021 (arXiv 2110.02488)",
    upstream: &["fla.ops.abc.chunk_abc"],
    sizes: dims![B, T, H, K, V, M],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("s", dims![B, T, H, M], Domain::Normal),
        Port::new("hk0", dims![N, H, K, M], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hv0", dims![N, H, M, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("z0", dims![N, H, M], Domain::Normal).single().presence(Presence::OrMinusInfinity),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("hkt", dims![N, H, K, M], Domain::Normal).single(),
        Port::new("hvt", dims![N, H, M, V], Domain::Normal).single(),
        Port::new("zt", dims![N, H, M], Domain::Normal).single(),
    ],
    attrs: &[Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2")],
    constraints: &[Constraint {
        label: "C1",
        text: "hk0 and hv0 need z0",
        holds: |p| !p.absent.contains("z0") || (p.absent.contains("hk0") && p.absent.contains("hv0")),
        break_it: |p| {
            p.absent.insert("z0");
            p.absent.remove("hk0");
        },
        mend: |p| p.absent.extend(["hk0", "hv0"]),
    }],
    independent: dims![B, H],
    states: &[State::new("hk0", "hkt"), State::new("hv0", "hvt"), State::elementwise("z0", "zt")],
    function: function!(abc),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn alone_a_token_fills_every_slot() {
        let inputs = "q=7,8 k=1,2 v=3,4 s=-500,600";
        let expected = "o=3,4 hkt=1,1,2,2 hvt=3,4,3,4 zt=-500,600";
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 M=2 absent=hk0+hv0+z0", inputs, "", expected);
    }

    #[test]
    fn averages_of_two_tokens_and_their_gradients() {
        // weights 1 and 3 in the first slot, 3 and 1 in the second: logits 3/2 ln 3 and 1/2 ln 3, 3/4 of 6 and 1/4 of 2
        let ln3 = 3f64.ln();
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 M=2 scale=1 absent=hk0+hv0+z0",
            &format!("q=1,1 k=0,{} v=0,8 s=0,{ln3},{ln3},0", 2.0 * ln3),
            "d_o=0,4",
            &format!(
                "o=0,5 hkt={},{} hvt=6,2 zt={},{} d_q=0,{} d_k=-1.5,1.5 d_v=1.5,2.5 d_s={},{},{},{}",
                1.5 * ln3,
                0.5 * ln3,
                4f64.ln(),
                4f64.ln(),
                3.0 * ln3,
                -4.5 - 1.125 * ln3,
                -1.5 + 1.125 * ln3,
                4.5 + 1.125 * ln3,
                1.5 - 1.125 * ln3
            ),
        );
    }
}
