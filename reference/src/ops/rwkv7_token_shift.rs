//! A token moved towards the one before it, once for each of the vectors that RWKV-7 makes of it.
//!
//! $$ o_{tl} = x_t + \delta_t \odot \mu_l $$
//!
//! with $\mu$ = `mix` and $\delta_t$ = `delta`, as a rule $x_{t-1} - x_t$. Well conditioned; each element is by itself.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, the token shift.
//! Upstream: `fused_addcmul_rwkv7` of `fla/ops/rwkv7/fused_addcmul.py` of 0.6.0, with an argument and an output for
//! each of five or six mixtures.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv7_token_shift<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let (x, delta, mix) = (u.vector("x"), u.vector("delta"), u.vector("mix"));
    let o = Array2::from_shape_fn((u.tokens, mix.len()), |(t, l)| x[t] + delta[t] * mix[l]);
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv7_token_shift",
    level: Level::Op,
    summary: "o of each mixture = x + delta mix",
    source: "Peng et al. 2025 (arXiv 2503.14456)",
    upstream: &["fla.ops.rwkv7.fused_addcmul.fused_addcmul_rwkv7", "fla.ops.rwkv7.fused_addcmul.torch_addcmul_rwkv7"],
    sizes: dims![B, T, D, L],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("delta", dims![B, T, D], Domain::Normal),
        Port::new("mix", dims![L, D], Domain::Uniform(0.0, 1.0)),
    ],
    outputs: &[Port::new("o", dims![B, T, L, D], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B, D],
    states: &[],
    function: function!(rwkv7_token_shift),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn each_mixture_moves_by_its_own_part() {
        check(&SPEC, "B=1 T=1 D=2 L=2", "x=1,2 delta=4,8 mix=0,1,0.5,0.25", "", "o=1,10,3,4");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        let expected = "o=3,5,2,1 d_x=3,7 d_delta=2.5,5.5 d_mix=-2,0";
        check(&SPEC, "B=1 T=2 D=1 L=2", "x=1,3 delta=4,-2 mix=0.5,1", "d_o=1,2,3,4", expected);
    }
}
