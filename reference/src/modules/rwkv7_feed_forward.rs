//! The channel mixing of RWKV-7: a feed-forward network of the token moved towards the one before it.
//!
//! $$ o_t = W_v\, \phi\big(W_k (x_t + (x_{t-1} - x_t) \odot \mu)\big) $$
//!
//! with μ = `x_k`, φ = `hidden_act`. Before the first token comes `x0`; `xt` is the last token. Well conditioned.
//!
//! Paper: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, §4.2 (eq. 20–22).
//! Upstream: `RWKV7FeedForward` of `fla/models/rwkv7/modeling_rwkv7.py` in 0.6.0, whose `intermediate_size` I is
//! `hidden_ratio` times D, rounded up to a multiple of 32, unless given. `layer_idx` and `num_hidden_layers` do not change
//! values. [`rwkv7_channel_mixing`](crate::ops::rwkv7_channel_mixing) is the same with transposed weights.

use ndarray::Array2;

use crate::algebra::{linear, rank};
use crate::mixer::{activation, token_shift};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv7_feed_forward<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (delta, last) = token_shift(x.matrix("x"), x.vector("x0"));
    let mixed = &x.matrix("x") + &(delta * x.vector("x_k"));
    let key: Array2<F> = rank(linear(&mixed, x.tensor("key.weight")));
    let key = key.mapv(activation(x.problem.word("hidden_act")));
    vec![linear(&key, x.tensor("value.weight")), last.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv7_feed_forward",
    level: Level::Module,
    summary: "o = value(sqrelu(key(x + (x of t−1 − x) x_k)))",
    source: "Peng et al. 2025 (arXiv 2503.14456), §4.2",
    upstream: &["fla.models.rwkv7.modeling_rwkv7.RWKV7FeedForward"],
    sizes: dims![B, T, D, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("x_k", dims![D], Domain::Uniform(0.0, 1.0)),
        Port::weight("key.weight", dims![I, D], &[1, 1]),
        Port::weight("value.weight", dims![D, I], &[1, 1]),
        Port::new("x0", dims![N, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("xt", dims![N, D], Domain::Normal)],
    attrs: &[Attr::word("hidden_act", &["sqrelu", "swish", "relu", "sigmoid"], "between key and value")],
    constraints: &[],
    independent: dims![B],
    states: &[State::elementwise("x0", "xt")],
    function: function!(rwkv7_feed_forward),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn half_of_the_token_before() {
        // mixtures 2 + (4 − 2)/2 and 4 + (2 − 4)/2, both 3: key 6, hidden 36
        let expected = "o=108,108 xt=4 d_x=108,77 d_x0=36 d_x_k=-144 d_key.weight=324 d_value.weight=108";
        let inputs = "x=2,4 x0=4 x_k=0.5 key.weight=2 value.weight=3";
        check(&SPEC, "B=1 T=2 D=1 I=1", inputs, "d_o=1,2 d_xt=5", expected);
    }

    #[test]
    fn no_token_hands_on_what_came() {
        check(&SPEC, "B=1 T=0 D=1 I=1", "x= x_k=1 key.weight=1 value.weight=1 x0=7", "d_xt=3", "xt=7 d_x0=3");
    }
}
