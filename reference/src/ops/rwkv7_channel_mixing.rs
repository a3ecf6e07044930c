//! The channel mixing of RWKV-7: two linear maps around a squared rectifier, of a token moved towards the
//! one before it.
//!
//! $$ m_t = x_t + (x_{t-1} - x_t) \odot \mu, \qquad o_t = W_v^\top \max(W_k^\top m_t, 0)^2 $$
//!
//! with $\mu$ = `x_k` and $x_{-1}$ = `h0`; `ht` is the last token, or `h0` without tokens. Once differentiable
//! everywhere.
//!
//! # Errors
//! None beyond shapes.
//!
//! Paper: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, the channel mixing.
//! Upstream: `channel_mixing_rwkv7` of `fla/ops/rwkv7/channel_mixing.py` of 0.6.0, which returns the last row of the
//! batch in the place of the last token, overwrites its inputs in the backward pass by default and knows no packing.

use ndarray::{Array1, Array2};

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv7_channel_mixing<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let (x, x_k) = (u.matrix("x"), u.vector("x_k"));
    let (key_weight, value_weight) = (u.matrix("key_weight"), u.matrix("value_weight"));
    let mut h = u.vector("h0").to_owned();
    let mut o = Array2::from_elem(x.dim(), F::zero());
    for t in 0..u.tokens {
        let mixed = |i| x[[t, i]] + (h[i] - x[[t, i]]) * x_k[i];
        let mixed: Array1<F> = (0..x.ncols()).map(mixed).collect();
        let hidden: Array1<F> = key_weight.columns().into_iter().map(|w| rectified(F::dot(mixed.view(), w))).collect();
        for (o_i, w) in o.row_mut(t).iter_mut().zip(value_weight.columns()) {
            *o_i = F::dot(hidden.view(), w);
        }
        h.assign(&x.row(t));
    }
    vec![o.into_dyn(), h.into_dyn()]
}

/// The square of what is positive.
fn rectified<F: Real>(x: F) -> F {
    // not a number stays one
    if x.value() <= 0.0 { F::zero() } else { x * x }
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv7_channel_mixing",
    level: Level::Op,
    summary: "o = Wvᵀ max(Wkᵀ (x + (x of t−1 − x) x_k), 0)²",
    source: "Peng et al. 2025 (arXiv 2503.14456)",
    upstream: &[
        "fla.ops.rwkv7.channel_mixing.channel_mixing_rwkv7",
        "fla.ops.rwkv7.channel_mixing.channel_mixing_rwkv7_torch",
    ],
    sizes: dims![B, T, D, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("x_k", dims![D], Domain::Uniform(0.0, 1.0)),
        Port::new("key_weight", dims![D, K], Domain::UnitKey),
        Port::new("value_weight", dims![K, D], Domain::UnitKey),
        Port::new("h0", dims![N, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("ht", dims![N, D], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B],
    states: &[State::elementwise("h0", "ht")],
    function: function!(rwkv7_channel_mixing),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn half_of_the_token_before_and_what_is_negative_is_dropped() {
        // the mixture is (2, 3); the hidden channels are 5² and nothing
        let inputs = "x=1,4 h0=3,2 x_k=0.5,0.5 key_weight=1,1,1,-1 value_weight=1,2,3,4";
        check(&SPEC, "B=1 T=1 D=2 K=2", inputs, "", "o=25,50 ht=1,4");
    }

    #[test]
    fn two_tokens_and_their_gradients() {
        // mixtures 2 + (4 − 2)/2 and 4 + (2 − 4)/2, both 3: hidden 36; the derivative by each is 3 · 2 · 6 · 2
        let expected = "o=108,108 ht=4 d_x=108,77 d_h0=36 d_x_k=-144 d_key_weight=324 d_value_weight=108";
        let inputs = "x=2,4 h0=4 x_k=0.5 key_weight=2 value_weight=3";
        check(&SPEC, "B=1 T=2 D=1 K=1", inputs, "d_o=1,2 d_ht=5", expected);
    }
}
