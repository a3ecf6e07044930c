//! Linear attention whose weights sum to 1: divided by what the query reads from the sum of the keys.
//!
//! $$ h_t = h_{t-1} + k_t v_t^\top, \qquad z_t = z_{t-1} + k_t, \qquad
//! o_t = \frac{s\, h_t^\top q_t}{s\, q_t \cdot z_t + 10^{-10}} $$
//!
//! with $s$ = `scale`, which cancels but for the small constant. Well conditioned for positive q, k and z, where o is
//! an average; with signs the denominator may vanish, and nothing clamps it.
//!
//! Paper: Katharopoulos et al., *Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention*, 2020,
//! eq. 18 to 20; the feature map that makes q and k positive is the caller's.
//! Upstream: `fla/ops/linear_attn` of 0.6.0 with `normalize=True`, the default of its chunk forms. There the states
//! are a pair, z0 and zt are `[N, 1, H, K]`, and z is kept in the storage type. Only the recurrent form has `reverse`.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What upstream adds to the denominator.
const EPSILON: f64 = 1e-10;

fn normalized_linear_attn<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (q, k, v) = (x.matrix("q"), x.matrix("k"), x.matrix("v"));
    let scale = F::from_f64(x.problem.number("scale").unwrap_or_else(|| (q.ncols() as f64).powf(-0.5)));
    let (mut h, mut z) = (x.matrix("h0").to_owned(), x.vector("z0").to_owned());
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..x.tokens {
        for ((mut h_row, z_i), &k_i) in h.rows_mut().into_iter().zip(&mut z).zip(k.row(t)) {
            *z_i = *z_i + k_i;
            for (h_ij, &v_j) in h_row.iter_mut().zip(v.row(t)) {
                *h_ij = h_ij.mac(k_i, v_j);
            }
        }
        let read: F = q.row(t).iter().zip(&z).map(|(&q_i, &z_i)| q_i * z_i).sum();
        let total = scale * read + F::from_f64(EPSILON);
        for (o_j, h_col) in o.row_mut(t).iter_mut().zip(h.columns()) {
            *o_j = scale * F::dot(q.row(t), h_col) / total;
        }
    }
    vec![o.into_dyn(), h.into_dyn(), z.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "normalized_linear_attn",
    level: Level::Op,
    summary: "h += k vᵀ;  z += k;  o = scale hᵀ q / (scale q·z + 1e-10)",
    source: "Katharopoulos et al. 2020 (arXiv 2006.16236), eq. 18 to 20",
    // each function counts once, where its default puts it
    upstream: &["fla.ops.linear_attn.chunk_linear_attn", "fla.ops.linear_attn.fused_chunk_linear_attn"],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("q", dims![B, T, H, K], Domain::Fraction),
        Port::new("k", dims![B, T, H, K], Domain::Fraction),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("z0", dims![N, H, K], Domain::Fraction).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, H, V], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("zt", dims![N, H, K], Domain::Fraction).single(),
    ],
    attrs: &[
        Attr::auto("scale", 0.375, "factor on q; auto is K^-1/2"),
        Attr::flag("reverse", false, "run each sequence from its last token to its first"),
    ],
    constraints: &[],
    independent: dims![B, H],
    states: &[State::new("h0", "ht"), State::new("z0", "zt")],
    function: function!(normalized_linear_attn),
};

#[cfg(test)]
mod tests {
    use super::{EPSILON, SPEC};
    use crate::by_hand::check;

    #[test]
    fn alone_a_token_reads_its_value() {
        // q·k is 3, but for the constant in the denominator
        let o = 3.0 / (3.0 + EPSILON);
        let expected = format!("o={},{} ht=5,7,10,14 zt=1,2", 5.0 * o, 7.0 * o);
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2 scale=1 absent=h0+z0", "q=1,1 k=1,2 v=5,7", "", &expected);
    }

    #[test]
    fn an_average_and_its_gradients() {
        // z = 1, then 1 + 3: o₂ = (1·2 + 3·6)/4 = 5, moved by v₁ with weight 1/4, by k₁ with (2 − 5)/4
        let sum = 4.0 + EPSILON;
        let (o, moved) = (20.0 / sum, |v: f64| v / sum - 20.0 / (sum * sum));
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1 absent=h0",
            "q=1,1 k=0,3 v=2,6 z0=1",
            "d_o=0,1",
            &format!(
                "o=0,{} ht=18 zt=4 d_v=0,{} d_k={},{} d_z0={}",
                18.0 / sum,
                3.0 / sum,
                moved(2.0) + 2.0 / (sum * sum),
                moved(6.0) + 2.0 / (sum * sum),
                -18.0 / (sum * sum)
            ),
        );
        check(
            &SPEC,
            "B=1 T=2 H=1 K=1 V=1 scale=1 reverse=true",
            "q=1,1 k=1,3 v=2,6 h0=0 z0=0",
            "",
            &format!("o={o},{} ht=20 zt=4", 18.0 / (3.0 + EPSILON)),
        );
    }
}
