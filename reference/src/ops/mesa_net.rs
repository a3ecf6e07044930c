//! Online ridge regression: at each token the query is weighed by the inverse of the keys' covariance so far.
//!
//! $$ C_t = e^{g_t} C_{t-1} + \beta_t k_t k_t^\top, \quad h_t = e^{g_t} h_{t-1} + \beta_t k_t v_t^\top, \quad
//!    o_t = h_t^\top (C_t + \operatorname{diag}(\lambda))^{-1} q_t $$
//!
//! with $\lambda$ = `lamb` of the head, which does not decay, and $C$ = `h_kk`. `qk_l2norm` replaces q, k by
//! $x / \sqrt{\sum x^2 + 10^{-6}}$ first.
//!
//! Well conditioned while $g \le 0$ and `h_kk0` is symmetric and positive semi-definite: the condition number is at
//! most $1 + \lVert C \rVert / \min \lambda$, hence λ from 1/4. The equations are solved by elimination without
//! exchanges, which such a matrix allows. Every element of `h_kk0` is a variable of its own: its gradient need not be
//! symmetric.
//!
//! Paper: von Oswald et al., *MesaNet: Sequence Modeling by Locally Optimal Test-Time Training*, 2025.
//! Upstream: `fla/ops/mesa_net` of 0.6.0, which approximates the solution by at most `max_CG_iteration` steps of
//! conjugate gradients, rounds q and k to f16, and whose gradient is that of an exact solution. It adds 1e-5 to both
//! denominators of a step, so that no number of steps comes closer than some 1e-4. The chunk form takes V = K alone;
//! the step function starts at another point and has no gradient; in the naive forms λ comes before beta.

use ndarray::{Array1, Array2};

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

fn mesa_net<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (prologue(x, "q"), prologue(x, "k"), x.matrix("v"));
    let (g, beta, lamb) = (x.vector("g"), x.vector("beta"), x.vector("lamb"));
    let (mut h_kk, mut h) = (x.matrix("h_kk0").to_owned(), x.matrix("h0").to_owned());
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        let decay = g[t].exp();
        let key = k.row(t).mapv(|k_i| beta[t] * k_i);
        for (state, row) in [(&mut h_kk, k.row(t)), (&mut h, v.row(t))] {
            for ((i, j), h_ij) in state.indexed_iter_mut() {
                *h_ij = (decay * *h_ij).mac(key[i], row[j]);
            }
        }
        let mut a = h_kk.clone();
        a.diag_mut().iter_mut().zip(lamb).for_each(|(a_ii, &lambda)| *a_ii = *a_ii + lambda);
        let weights = solve(a, q.row(t).to_owned());
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = F::dot(weights.view(), h_col);
        }
    }
    vec![o.into_dyn(), h_kk.into_dyn(), h.into_dyn()]
}

/// The solution of $A x = b$, by elimination.
fn solve<F: Real>(mut a: Array2<F>, mut b: Array1<F>) -> Array1<F> {
    let n = b.len();
    for p in 0..n {
        for i in p + 1..n {
            let factor = -(a[[i, p]] / a[[p, p]]);
            for j in p + 1..n {
                a[[i, j]] = a[[i, j]].mac(factor, a[[p, j]]);
            }
            b[i] = b[i].mac(factor, b[p]);
        }
    }
    for i in (0..n).rev() {
        let rest = (i + 1..n).fold(b[i], |rest, j| rest.mac(-a[[i, j]], b[j]));
        b[i] = rest / a[[i, i]];
    }
    b
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

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mesa_net",
    level: Level::Op,
    summary: "C = exp(g) C + β k kᵀ;  h = exp(g) h + β k vᵀ;  o = hᵀ (C + diag(λ))⁻¹ q",
    source: "von Oswald et al. 2025 (arXiv 2506.05233)",
    upstream: &[
        "fla.ops.mesa_net.chunk_mesa_net",
        "fla.ops.mesa_net.mesa_net_decoding_one_step",
        "fla.ops.mesa_net.naive_mesa_net_decoding_one_step",
        "fla.ops.mesa_net.naive_mesa_net_exact",
    ],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey).domain_if(&[("qk_l2norm", Domain::Normal)]),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, H], Domain::LogDecay).single(),
        Port::new("beta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("lamb", dims![H, K], Domain::Uniform(0.25, 1.0)).single(),
        Port::new("h_kk0", dims![N, H, K, K], Domain::Covariance).single().presence(Presence::OrZero),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("h_kkt", dims![N, H, K, K], Domain::Normal).single(),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[Attr::flag("qk_l2norm", false, "normalise q and k to unit length first")],
    constraints: &[],
    independent: dims![B, H],
    states: &[State::new("h_kk0", "h_kkt"), State::new("h0", "ht")],
    function: function!(mesa_net),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn one_channel_divides() {
        // C = 6/2 + 4/2, h = 4/2 + 5, and the query is divided by C + λ = 6
        let slope = -7.0 / 6.0;
        let expected = format!(
            "o=7 h_kkt=5 ht=7 d_q={} d_k={} d_v=1 d_g=-1.5 d_beta={} d_lamb={slope} d_h_kk0={} d_h0=0.5",
            -slope,
            2.5 + 2.0 * slope,
            10.0 + 4.0 * slope,
            0.5 * slope,
        );
        let inputs = format!("q=6 k=2 v=5 g={HALF} beta=0.5 lamb=1 h_kk0=6 h0=4");
        check(&SPEC, "B=1 T=1 H=1 K=1 V=1", &inputs, "d_o=1", &expected);
    }

    #[test]
    fn two_channels_are_solved_for() {
        // C + diag(λ) = (2 1; 1 2), which maps (2, −1) to (3, 0); h = (7, 8)
        let inputs = format!("q=3,0 k=1,1 v=6 g={HALF} beta=1 lamb=0.5,1 h_kk0=1,0,0,0 h0=2,4");
        check(&SPEC, "B=1 T=1 H=1 K=2 V=1", &inputs, "d_o=1", "o=6 h_kkt=1.5,1,1,1 ht=7,8 d_q=2,3 d_v=1 d_h0=1,-0.5");
    }

    #[test]
    fn queries_and_keys_are_normalised() {
        // C = k², and two parts in three remain of the query
        let (q, k) = (3.0 / (9.0 + 1e-6f64).sqrt(), 2.0 / (4.0 + 1e-6f64).sqrt());
        let expected = format!("o={} h_kkt={} ht={}", q * k * 5.0 / (k * k + 0.5), k * k, k * 5.0);
        let inputs = "q=3 k=2 v=5 g=0 beta=1 lamb=0.5 h_kk0=0 h0=0";
        check(&SPEC, "B=1 T=1 H=1 K=1 V=1 qk_l2norm=true", inputs, "", &expected);
    }
}
