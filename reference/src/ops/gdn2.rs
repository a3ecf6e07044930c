//! Gated delta networks 2: the delta rule with a decay and an erase gate for each key channel and a write gate for each
//! value channel.
//!
//! $$ h'_t = \operatorname{diag}(e^{g_t}) h_{t-1}, \quad u_t = w_t \odot v_t - h'^\top_t (b_t \odot k_t), \quad h_t = h'_t + k_t u_t^\top, \quad o_t = s\, h_t^\top q_t $$
//!
//! The one eigenvalue of $I - k (b \odot k)^\top$ that is not 1 is $1 - \sum b k^2$: in $[0, 1]$ for keys of unit length
//! and $b$ in $[0, 1]$. Where $b$ varies from channel to channel the matrix is not symmetric, hence no contraction: a
//! product of several may grow, as far as the decay lets it.
//!
//! Two prologues may be part of the call: `qk_l2norm` replaces q, k by $x / \sqrt{\sum x^2 + 10^{-6}}$, before $b$ is
//! multiplied; `softplus_gate` replaces g by $-e^{A} \ln(1 + e^{g + c})$ with $A$ = `A_log` of the head and $c$ =
//! `dt_bias` of the channel.
//!
//! # Errors
//! C1: the value heads are a multiple of the key heads.
//!
//! Paper: *Gated DeltaNet-2*, arXiv 2605.22791, the update of the state.
//! Upstream: `fla/ops/gdn2` of 0.6.0. Value heads of their own are in its recurrent form alone; `dt_bias` is flat; the
//! gates b and w have the storage type; a gate for g with a lower bound is there besides.

use ndarray::{Array1, Array2};

use crate::real::Real;
use crate::rounded::summed;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn gdn2<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (v, b, w) = (x.matrix("v"), x.matrix("b"), x.matrix("w"));
    let (q, k) = (prologue(x, "q"), prologue(x, "k"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (g, mut h) = (log_decays(x), x.matrix("h0").to_owned());
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for (mut h_row, g_i) in h.rows_mut().into_iter().zip(g.row(t)) {
            let decay = g_i.exp();
            h_row.mapv_inplace(|h_ij| decay * h_ij);
        }
        let erased: Array1<F> = b.row(t).iter().zip(k.row(t)).map(|(&b_i, &k_i)| b_i * k_i).collect();
        let written = w.row(t).into_iter().zip(v.row(t)).map(|(&w_j, &v_j)| w_j * v_j);
        let u: Vec<F> =
            h.columns().into_iter().zip(written).map(|(h_col, wv_j)| wv_j - F::dot(erased.view(), h_col)).collect();
        for (mut h_row, &k_i) in h.rows_mut().into_iter().zip(k.row(t)) {
            for (h_ij, &u_j) in h_row.iter_mut().zip(&u) {
                *h_ij = h_ij.mac(k_i, u_j);
            }
        }
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col);
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// `q` or `k` as the recurrence uses it: `[T, K]`.
fn prologue<F: Real>(x: &Unit<'_, F>, name: &str) -> Array2<F> {
    let mut rows = x.matrix(name).to_owned();
    if x.problem.flag("qk_l2norm") {
        for mut row in rows.rows_mut() {
            let norm = (row.iter().map(|&x| x * x).sum::<F>() + F::from_f64(L2_EPSILON)).sqrt();
            row.mapv_inplace(|x| x / norm);
        }
    }
    rows
}

/// `[T, K]`.
fn log_decays<F: Real>(x: &Unit<'_, F>) -> Array2<F> {
    let mut g = x.matrix("g").to_owned();
    if x.problem.flag("softplus_gate") {
        let rate = -x.scalar("A_log").exp();
        for mut row in g.rows_mut() {
            row.zip_mut_with(&x.vector("dt_bias"), |g_i, &c_i| *g_i = rate * (*g_i + c_i).softplus());
        }
        summed(&mut g);
    }
    g
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gdn2",
    level: Level::Op,
    summary: "h = diag(exp(g)) h;  h += k (w ⊙ v − hᵀ (b ⊙ k))ᵀ;  o = scale hᵀ q",
    source: "Gated DeltaNet-2 (arXiv 2605.22791)",
    upstream: &[
        "fla.ops.gdn2.chunk_gdn2",
        "fla.ops.gdn2.fused_recurrent_gdn2",
        "fla.ops.gdn2.naive_chunk_gdn2",
        "fla.ops.gdn2.naive_recurrent_gdn2",
    ],
    sizes: dims![B, T, H, HV, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, HV, V], Domain::Normal),
        Port::new("g", dims![B, T, HV, K], Domain::LogDecay).single().domain_if(&[("softplus_gate", Domain::Normal)]),
        Port::new("b", dims![B, T, HV, K], Domain::Fraction),
        Port::new("w", dims![B, T, HV, V], Domain::Fraction),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("A_log", dims![HV], Domain::LogRate).single().when("softplus_gate"),
        Port::new("dt_bias", dims![HV, K], Domain::Normal).single().presence(Presence::OrZero).when("softplus_gate"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, HV, V], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("qk_l2norm", false, "normalise q and k to unit length first"),
        Attr::flag("softplus_gate", false, "g is raw: −exp(A_log) softplus(g + dt_bias)"),
    ],
    constraints: &[Constraint::grouped_values("C1")],
    independent: dims![B, HV],
    states: &[State::new("h0", "ht")],
    function: function!(gdn2),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn erases_by_key_channel_and_writes_by_value_channel() {
        // rows (8, 4) → (4, 2) and (2, 0); b ⊙ k = (1/2, 2) reads (6, 1); w ⊙ v = (7, 3)
        let inputs = format!("q=1,1 k=1,2 v=7,6 g={HALF},0 b=0.5,1 w=1,0.5 h0=8,4,2,0");
        check(&SPEC, "B=1 T=1 H=1 HV=1 K=2 V=2 scale=1", &inputs, "", "ht=5,4,4,4 o=9,8");
    }

    #[test]
    fn one_token_and_its_gradients() {
        // h' = 4, of which b k = 1 reads 4; u = 6 − 4; d_u = k d_h = 2
        check(
            &SPEC,
            "B=1 T=1 H=1 HV=1 K=1 V=1 scale=1",
            &format!("q=1 k=2 v=12 g={HALF} b=0.5 w=0.5 h0=8"),
            "d_o=1",
            "ht=8 o=8 d_q=8 d_k=-2 d_v=1 d_g=-4 d_b=-16 d_w=24 d_h0=-0.5",
        );
    }

    #[test]
    fn prologues_at_values_that_are_known() {
        // softplus of 0 is ln 2, so both channels decay by 1/2
        let inputs = "q=3,4 k=0,2 v=6 g=1,2 b=0,0.5 w=1 h0=8,8 A_log=0 dt_bias=-1,-2";
        let (q, k) = ((25.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
        let second = 4.0 + k * (6.0 - 4.0 * (0.5 * k));
        let expected = format!("ht=4,{second} o={}", (3.0 * 4.0 + 4.0 * second) / q);
        let fields = "B=1 T=1 H=1 HV=1 K=2 V=1 scale=1 qk_l2norm=true softplus_gate=true";
        check(&SPEC, fields, inputs, "", &expected);
    }
}
