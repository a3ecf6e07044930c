//! Cyclic flow attention: softmax attention over a ring of slots that turns by the clock, in its Fourier coordinates.
//!
//! With $C$ rows of `readout` $R$ and $M = C + 1$ coordinates in pairs $(2p, 2p + 1)$, let $\lambda_t = \lambda_{t-1} +
//! \delta_t$ be the clock, $\Theta_\lambda$ the rotation of each pair by $2 \pi p \lambda / C$ and $F$ the real Fourier
//! basis: row $r$ has $\sqrt{(p = 0\ ?\ 1 : 2) / C}$ times cosine and sine of $2 \pi p r / C$. Then
//!
//! $$ w_t = \beta_t \Theta_{\lambda_t}^{-1} F_0, \quad
//! \tilde K_t = e^{g_t} \tilde K_{t-1} + \hat k_t w_t^\top, \quad
//! \tilde V_t = e^{g_t} \tilde V_{t-1} + w_t v_t^\top, $$
//! $$ p_t = \operatorname{softmax}(c\, R F\, \Theta_{\lambda_t} \tilde K_t^\top \hat q_t), \qquad
//! o_t = \tilde V_t^\top \Theta_{\lambda_t}^{-1} F^\top R^\top p_t $$
//!
//! with $c$ = `scale` and the states $\tilde K$ = `hk`, $\tilde V$ = `hv`, $\lambda$ = `lambda`; $\hat q$ and
//! $\hat k$ are RMS norms over $K$, with weights and a small number under the root. Coordinate 1 is a sine of 0 and has
//! no influence on o. Where R is the identity and all δ are whole, slot $(\lambda_t - \lambda_j) \bmod C$ holds
//! token j.
//!
//! Well conditioned for $g \le 0$. The clock is kept as it is, so that its rounding grows with it; whole turns are
//! dropped from the angles, which changes nothing else.
//!
//! # Errors
//! C1: C is odd, so that the coordinates are pairs. C2: M is C + 1.
//!
//! Paper: none is named upstream; the code is that of Chen, *CyclicFlowAttention*, 2026.
//! Upstream: `fla/ops/cyfa` of 0.6.0, where the states are a triple, both small numbers must be given, and normalised q
//! and k are rounded to the storage type.

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, ArrayView1};

use crate::algebra::cos_sin;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn cyfa<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [v, readout] = ["v", "readout"].map(|name| x.matrix(name));
    let [g, delta, beta] = ["g", "delta", "beta"].map(|name| x.vector(name));
    let (q, k) = (normalised(x, "q", "q_norm_weight", "q_norm_eps"), normalised(x, "k", "k_norm_weight", "k_norm_eps"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (mut hk, mut hv) = (x.matrix("hk0").to_owned(), x.matrix("hv0").to_owned());
    let (rows, mut lambda) = (readout.nrows(), x.scalar("lambda0"));
    let basis = Array2::from_shape_fn((rows, rows + 1), |(r, m)| fourier(rows, r, m));
    let first = basis.row(0).mapv(F::from_f64);
    let basis = basis.mapv(F::from_f64);
    let table = Array2::from_shape_fn(basis.dim(), |(r, m)| F::dot(readout.row(r), basis.column(m)));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        lambda = lambda + delta[t];
        let decay = g[t].exp();
        let w = rotated(&first, lambda, true).mapv(|w_m| beta[t] * w_m);
        for (m, &w_m) in w.iter().enumerate() {
            for (h_i, &k_i) in hk.column_mut(m).iter_mut().zip(k.row(t)) {
                *h_i = (decay * *h_i).mac(k_i, w_m);
            }
            for (h_j, &v_j) in hv.row_mut(m).iter_mut().zip(v.row(t)) {
                *h_j = (decay * *h_j).mac(w_m, v_j);
            }
        }
        let seen: Array1<F> = hk.columns().into_iter().map(|h_m| scale * F::dot(q.row(t), h_m)).collect();
        let seen = rotated(&seen, lambda, false);
        let p = softmax(table.rows().into_iter().map(|row| F::dot(row, seen.view())).collect());
        let asked: Array1<F> = table.columns().into_iter().map(|column| F::dot(column, p.view())).collect();
        let asked = rotated(&asked, lambda, true);
        for (o_j, h_j) in o.row_mut(t).iter_mut().zip(hv.columns()) {
            *o_j = F::dot(asked.view(), h_j);
        }
    }
    vec![o.into_dyn(), hk.into_dyn(), hv.into_dyn(), ndarray::arr0(lambda).into_dyn()]
}

/// `q` or `k` over its root mean square, times the weight: `[T, K]`.
fn normalised<F: Real>(x: &Unit<'_, F>, name: &str, weight: &str, eps: &str) -> Array2<F> {
    let weight = x.vector(weight);
    let eps = F::from_f64(x.problem.number(eps).unwrap_or_default());
    let mut rows = x.matrix(name).to_owned();
    for mut row in rows.rows_mut() {
        let mean = row.iter().map(|&x| x * x).sum::<F>() / F::from_f64(row.len() as f64);
        let root = (mean + eps).sqrt();
        row.zip_mut_with(&weight, |x, &w| *x = *x / root * w);
    }
    rows
}

/// The basis F of the module documentation.
fn fourier(rows: usize, r: usize, m: usize) -> f64 {
    let (pair, period) = (m / 2, rows as f64);
    let angle = TAU * ((pair * r) % rows) as f64 / period;
    let factor = (if pair == 0 { 1.0 } else { 2.0 } / period).sqrt();
    factor * if m.is_multiple_of(2) { angle.cos() } else { angle.sin() }
}

/// Each pair of coordinates rotated by its angle at that time, or back: `[M]`.
fn rotated<F: Real>(x: &Array1<F>, lambda: F, back: bool) -> Array1<F> {
    let period = (x.len() - 1) as f64;
    let part = lambda - F::from_f64((lambda.value() / period).round() * period);
    let turn = |(pair, of): (usize, ArrayView1<'_, F>)| {
        let (cos, sin) = cos_sin(part * F::from_f64(TAU * pair as f64 / period));
        let sin = if back { -sin } else { sin };
        [cos * of[0] - sin * of[1], sin * of[0] + cos * of[1]]
    };
    x.exact_chunks(2).into_iter().enumerate().flat_map(turn).collect()
}

fn softmax<F: Real>(logits: Vec<F>) -> Array1<F> {
    let largest = F::from_f64(logits.iter().map(|l| l.value()).fold(f64::NEG_INFINITY, f64::max));
    let weights: Vec<F> = logits.into_iter().map(|l| (l - largest).exp()).collect();
    let total: F = weights.iter().copied().sum();
    weights.into_iter().map(|w| w / total).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "cyfa",
    level: Level::Op,
    summary: "w = β Θ⁻¹ F₀;  hk = exp(g) hk + k wᵀ;  hv = exp(g) hv + w vᵀ;  o = hvᵀ Θ⁻¹(RF)ᵀ softmax(scale RFΘ hkᵀq)",
    source: "Chen 2026 (github.com/Chyxx/CyclicFlowAttention)",
    upstream: &["fla.ops.cyfa.chunk_cyfa", "fla.ops.cyfa.fused_recurrent_cyfa", "fla.ops.cyfa.naive_recurrent_cyfa"],
    sizes: dims![B, T, H, K, V, C, M],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, H], Domain::LogDecay).single(),
        Port::new("delta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("beta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("readout", dims![H, C, C], Domain::UnitKey).single(),
        Port::new("q_norm_weight", dims![K], Domain::Uniform(0.5, 1.5)).single(),
        Port::new("k_norm_weight", dims![K], Domain::Uniform(0.5, 1.5)).single(),
        Port::new("hk0", dims![N, H, K, M], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hv0", dims![N, H, M, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("lambda0", dims![N, H], Domain::Uniform(0.0, 10.0)).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("hkt", dims![N, H, K, M], Domain::Normal).single(),
        Port::new("hvt", dims![N, H, M, V], Domain::Normal).single(),
        Port::new("lambdat", dims![N, H], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::number("q_norm_eps", 1e-5, 0.25, "added to the mean square of q"),
        Attr::number("k_norm_eps", 1e-5, 0.25, "added to the mean square of k"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "C is odd",
            holds: |p| !p.size(Dim::C).is_multiple_of(2),
            break_it: |p| _ = p.sizes.insert(Dim::C, 2),
            mend: |p| _ = p.sizes.insert(Dim::C, p.size(Dim::C) + 1),
        },
        Constraint {
            label: "C2",
            text: "M is C + 1",
            holds: |p| p.size(Dim::M) == p.size(Dim::C) + 1,
            break_it: |p| p.sizes.extend([(Dim::C, 3), (Dim::M, 3)]),
            mend: |p| _ = p.sizes.insert(Dim::M, p.size(Dim::C) + 1),
        },
    ],
    independent: dims![B, H],
    states: &[State::new("hk0", "hkt"), State::new("hv0", "hvt"), State::elementwise("lambda0", "lambdat")],
    function: function!(cyfa),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_single_slot_is_a_decaying_sum() {
        let inputs = "q=7,8 k=9,1 v=3,5 g=0,-800 delta=0.3,0.4 beta=0.5,2 readout=1 q_norm_weight=1 k_norm_weight=2";
        let fields = "B=1 T=2 H=1 K=1 V=1 C=1 M=2 k_norm_eps=0 absent=hk0+hv0";
        check(&SPEC, fields, &format!("{inputs} lambda0=2"), "", "o=1.5,10 hkt=4,0 hvt=10,0 lambdat=2.7");
    }

    #[test]
    fn whole_steps_put_tokens_in_slots_of_their_own() {
        // keys −1 and 1 times ln 2: weights 1/2 and 2, beside those of empty slots, 1 each
        let inputs =
            format!("q=5,6 k=-3,4 v=10,14 g=0,0 delta=1,1 beta=1,1 k_norm_weight={} q_norm_weight=1", 2f64.ln());
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 C=3 M=4 scale=1 q_norm_eps=0 k_norm_eps=0 absent=hk0+hv0+lambda0",
            &format!("{inputs} readout=1,0,0,0,1,0,0,0,1"),
            "d_o=0,7",
            &format!("o=2,{} lambdat=2 d_v=1,4 d_q=0,0 d_k=0,0", 33.0 / 3.5),
        );
    }
}
