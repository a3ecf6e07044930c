//! What RWKV-7 does to a head's output: it adds the token's own value by a weighted product of receptance and key, and
//! gates the sum.
//!
//! $$ o_t = g_t \odot \Bigl( x_t + \bigl( \textstyle\sum_i r_{ti}\, k_{ti}\, \rho_i \bigr) v_t \Bigr) $$
//!
//! with $r$ = q and $\rho$ = `r_k`. Here g is a factor, not the logarithm of one. Well conditioned.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, the bonus and the gate.
//! Upstream: `gate_output_correction` of `fla/ops/rwkv7` of 0.6.0, where x, g and o have their heads flattened and
//! values are as wide as keys.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv7_output_gate<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let (x, v, g) = (u.matrix("x"), u.matrix("v"), u.matrix("g"));
    let (q, k, r_k) = (u.matrix("q"), u.matrix("k"), u.vector("r_k"));
    let mut o = Array2::from_elem(v.dim(), F::zero());
    for t in 0..u.tokens {
        let bonus: F = (0..r_k.len()).map(|i| q[[t, i]] * k[[t, i]] * r_k[i]).sum();
        for j in 0..v.ncols() {
            o[[t, j]] = g[[t, j]] * (x[[t, j]] + bonus * v[[t, j]]);
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv7_output_gate",
    level: Level::Op,
    summary: "o = g (x + (Σ q k r_k) v)",
    source: "Peng et al. 2025 (arXiv 2503.14456)",
    upstream: &[
        "fla.ops.rwkv7.gate_output_correction.gate_output_correction",
        "fla.ops.rwkv7.gate_output_correction.gate_output_correction_ref",
    ],
    sizes: dims![B, T, H, K, V],
    inputs: &[
        Port::new("x", dims![B, T, H, V], Domain::Normal),
        Port::new("q", dims![B, T, H, K], Domain::Normal),
        Port::new("k", dims![B, T, H, K], Domain::Normal),
        Port::new("r_k", dims![H, K], Domain::Normal),
        Port::new("v", dims![B, T, H, V], Domain::Normal),
        Port::new("g", dims![B, T, H, V], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, H, V], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B, H],
    states: &[],
    function: function!(rwkv7_output_gate),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_bonus_is_one_number_for_all_channels_of_a_value() {
        // 1·3·2 + 2·4·1 = 14
        let inputs = "x=1,1 q=1,2 k=3,4 r_k=2,1 v=1,2 g=1,0.5";
        check(&SPEC, "B=1 T=1 H=1 K=2 V=2", inputs, "", "o=15,14.5");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        let expected = "o=14,0 d_x=2,3 d_g=7,0 d_v=8,-12 d_q=4,-3 d_k=8,1.5 d_r_k=2.5";
        let inputs = "x=3,1 q=2,1 k=1,-2 r_k=2 v=1,0.25 g=2,3";
        check(&SPEC, "B=1 T=2 H=1 K=1 V=1", inputs, "d_o=1,1", expected);
    }
}
