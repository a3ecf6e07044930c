//! Titans' memory: gradient steps on a normalised reconstruction loss, with momentum and forgetting.
//!
//! $$ S_t = \eta_t S_{t-1} - \theta_t \nabla \ell_t(h_*), \quad h_t = (1 - \alpha_t) h_{t-1} + S_t, \quad
//!    r_t = h_t^\top q_t, \quad o_t = r_t + w \operatorname{LN}(r_t) + b $$
//!
//! with $\ell_t(h) = \lVert w \operatorname{LN}(h^\top k_t) + b - (v_t - k_t) \rVert^2$ and
//! $\operatorname{LN}(y) = (y - \bar y) / \sqrt{\operatorname{var} y + \epsilon}$. The slope is taken at $h_*$, the
//! memory as the mini-batch of `chunk_size` tokens found it; mini-batches are counted from the start of each sequence.
//! Stable while θ is small against the spread of $h^\top k$: the slope grows as a row loses its spread.
//!
//! The momentum starts at zero, so that no run resumes another: `h0` and `ht` are an ordinary input and output.
//!
//! # Errors
//! C1: values are as wide as keys, which are subtracted from them. C2: at least 3 channels: LN makes signs of two, which
//! leaves no slope but what ε does. C3: a mini-batch has a whole number of tokens, at least 1.
//!
//! Paper: Behrouz, Zhong & Mirrokni, *Titans: Learning to Memorize at Test Time*, 2024: momentum, forgetting and
//! mini-batches; the loss is TTT-Linear's.
//! Upstream: `fla/ops/titans` of 0.6.0, where θ, α, η have an axis of 1 more. What stands there for the slope divides
//! only two of its three terms by the root and the width, and is no gradient of the loss; where the last mini-batch is
//! not full, padded tokens move the final state.

use ndarray::{Array1, Array2, Zip};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn titans<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, w, b) = (x.matrix("q"), x.matrix("k"), x.vector("w"), x.vector("b"));
    let (theta, alpha, eta) = (x.vector("theta"), x.vector("alpha"), x.vector("eta"));
    let size = x.problem.number("chunk_size").map_or(1, |size| size as usize);
    let mut h = x.matrix("h0").to_owned();
    let (mut found, mut momentum) = (h.clone(), Array2::from_elem(h.dim(), F::zero()));
    let mut o = Array2::from_elem(q.dim(), F::zero());
    for t in 0..x.tokens {
        if t % size == 0 {
            found.assign(&h);
        }
        let d = slope(x, t, &found.columns().into_iter().map(|f_col| F::dot(k.row(t), f_col)).collect());
        for (mut m_row, &k_a) in momentum.rows_mut().into_iter().zip(k.row(t)) {
            let step = -theta[t] * k_a;
            m_row.zip_mut_with(&d, |m_ac, &d_c| *m_ac = (eta[t] * *m_ac).mac(step, d_c));
        }
        Zip::from(&mut h).and(&momentum).for_each(|h_ac, &m_ac| *h_ac = (F::one() - alpha[t]) * *h_ac + m_ac);
        let r: Array1<F> = h.columns().into_iter().map(|h_col| F::dot(q.row(t), h_col)).collect();
        let (normal, _) = normalised(x, &r);
        for (c, o_c) in o.row_mut(t).iter_mut().enumerate() {
            *o_c = r[c] + normal[c] * w[c] + b[c];
        }
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// `LN(y)`, and the root that divides.
fn normalised<F: Real>(x: &Unit<'_, F>, y: &Array1<F>) -> (Array1<F>, F) {
    let width = F::from_f64(y.len() as f64);
    let mean = y.iter().copied().sum::<F>() / width;
    let centred = y.mapv(|y_c| y_c - mean);
    let variance = centred.iter().map(|&c| c * c).sum::<F>() / width;
    let root = (variance + F::from_f64(x.problem.number("eps").unwrap_or(0.0))).sqrt();
    (centred.mapv(|c| c / root), root)
}

/// The gradient of a token's loss by `y = hᵀ k`.
fn slope<F: Real>(x: &Unit<'_, F>, t: usize, y: &Array1<F>) -> Array1<F> {
    let (v, k, w, b) = (x.matrix("v"), x.matrix("k"), x.vector("w"), x.vector("b"));
    let (normal, root) = normalised(x, y);
    let two = F::from_f64(2.0);
    let error = |c: usize| two * w[c] * (w[c] * normal[c] + b[c] - (v[[t, c]] - k[[t, c]]));
    let d_normal: Array1<F> = (0..y.len()).map(error).collect();
    let width = F::from_f64(y.len() as f64);
    let mean = d_normal.iter().copied().sum::<F>() / width;
    let along = d_normal.iter().zip(&normal).map(|(&d, &n)| d * n).sum::<F>() / width;
    d_normal.iter().zip(&normal).map(|(&d, &n)| (d - mean - n * along) / root).collect()
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "titans",
    level: Level::Op,
    summary: "S = η S − θ ∇ℓ;  h = (1 − α) h + S;  o = r + w LN(r) + b, r = hᵀ q",
    source: "Behrouz, Zhong & Mirrokni 2024 (arXiv 2501.00663), momentum and forgetting",
    upstream: &["fla.ops.titans.chunk_titans_linear"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::UnitKey),
        Port::new("k", dims![B, T, H, K], Domain::UnitKey),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("w", dims![H, V], Domain::Normal),
        Port::new("b", dims![H, V], Domain::Normal),
        Port::new("theta", dims![B, T, H], Domain::Uniform(0.01, 0.05)).single(),
        Port::new("alpha", dims![B, T, H], Domain::Uniform(0.0, 0.1)).single(),
        Port::new("eta", dims![B, T, H], Domain::Fraction).single(),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::number("eps", 1e-6, 0.125, "what is added to the variance"),
        Attr::number("chunk_size", 16.0, 8.0, "tokens of a mini-batch"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "V equals K",
            holds: |p| p.size(Dim::V) == p.size(Dim::K),
            break_it: |p| p.sizes.extend([(Dim::K, 2), (Dim::V, 3)]),
            mend: |p| _ = p.sizes.insert(Dim::V, p.size(Dim::K)),
        },
        Constraint {
            label: "C2",
            text: "V is at least 3",
            holds: |p| p.size(Dim::V) >= 3,
            break_it: |p| p.sizes.extend([(Dim::K, 2), (Dim::V, 2)]),
            mend: |p| p.sizes.extend([(Dim::K, 3), (Dim::V, 3)]),
        },
        Constraint {
            label: "C3",
            text: "chunk_size is a whole number, at least 1",
            holds: |p| p.number("chunk_size").is_some_and(|size| size >= 1.0 && size.fract() == 0.0),
            break_it: |p| _ = p.attrs.insert("chunk_size", Value::Number(0.5)),
            mend: |p| _ = p.attrs.remove("chunk_size"),
        },
    ],
    independent: dims![B, H],
    states: &[],
    function: function!(titans),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_memory_of_weight_zero_only_forgets() {
        let rates = "theta=1,1 alpha=0.5,0.75 eta=1,1";
        let inputs = "q=1,2,0,1,0,0 k=1,0,0,0,1,0 v=5,6,7,8,9,10 w=0,0,0 b=1,2,3 h0=8,16,0,24,32,0,0,0,0";
        let expected = "o=29,42,3,2,4,3 ht=1,2,0,3,4,0,0,0,0";
        check(&SPEC, "B=1 T=2 H=1 K=3 V=3", &format!("{inputs} {rates}"), "", expected);
    }

    #[test]
    fn a_step_and_its_momentum_by_hand() {
        // y = 3, −3, 0 has variance 6, hence root 4 and LN = 3/4, −3/4, 0; the errors 3/4, −3/4, 3 have mean 1 and go
        // along LN by 3/8: the slope is (−17/32, −47/32, 2)/2, of which the momentum keeps half for the second token,
        // whose own step is 0
        let rates = "theta=1,0 alpha=0,0.5 eta=1,0.5";
        let inputs = "q=0,1,0,0,1,0 k=1,0,0,1,0,0 v=1,0,-3,1,0,-3 w=1,1,1 b=0,0,0 h0=3,-3,0,0,0,0,0,0,0";
        let expected = "o=0,0,0,0,0,0 ht=1.765625,-0.765625,-1,0,0,0,0,0,0";
        check(&SPEC, "B=1 T=2 H=1 K=3 V=3 eps=10", &format!("{inputs} {rates}"), "", expected);
    }
}
