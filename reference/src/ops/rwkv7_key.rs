//! The key that RWKV-7 writes: partly scaled by the in-context learning rate of its channel.
//!
//! $$ o_t = k_t \odot \bigl( 1 + (a_t - 1) \odot \alpha \bigr) $$
//!
//! with $\alpha$ = `k_a`: 0 keeps the key, 1 multiplies it by a. Well conditioned; each element is by itself.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, the replacement key.
//! Upstream: `fused_k_rwkv7` of `fla/ops/rwkv7/fused_k_update.py` of 0.6.0.

use ndarray::Array1;

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv7_key<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (k, a, k_a) = (x.vector("k"), x.vector("a"), x.scalar("k_a"));
    let o: Array1<F> = k.iter().zip(a).map(|(&k, &a)| k * (F::one() + (a - F::one()) * k_a)).collect();
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv7_key",
    level: Level::Op,
    summary: "o = k (1 + (a − 1) k_a)",
    source: "Peng et al. 2025 (arXiv 2503.14456)",
    upstream: &["fla.ops.rwkv7.fused_k_update.fused_k_rwkv7", "fla.ops.rwkv7.fused_k_update.k_update_ref"],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("k", dims![B, T, D], Domain::Normal),
        Port::new("a", dims![B, T, D], Domain::Fraction),
        Port::new("k_a", dims![D], Domain::Uniform(0.5, 1.5)),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B, D],
    states: &[],
    function: function!(rwkv7_key),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn channels_have_a_weight_each() {
        check(&SPEC, "B=1 T=1 D=3", "k=4,4,4 a=0.5,0.5,0.5 k_a=0,1,0.5", "", "o=4,2,3");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        let expected = "o=3,5 d_k=0.75,2.5 d_a=2,4 d_k_a=2";
        check(&SPEC, "B=1 T=2 D=1", "k=4,4 a=0.5,1.5 k_a=0.5", "d_o=1,2", expected);
    }
}
