//! The channel mixing of RWKV-6: a feed-forward network of the token and the one before it, with a gate of both.
//!
//! $$ \delta_t = x_{t-1} - x_t, \qquad
//! o = \sigma\big(W_r (x + \delta \odot \mu_r)\big) \odot W_v\, \phi\big(W_k (x + \delta \odot \mu_k)\big) $$
//!
//! with φ = `hidden_act`. Before the first token comes `x0`; `xt` is the last token. Well conditioned.
//!
//! Paper: Peng et al., *Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence*, 2024, §4.1 (eq. 13–15).
//! Upstream: `RWKV6FeedForward` of `fla/models/rwkv6/modeling_rwkv6.py` in 0.6.0, whose `intermediate_size` I is
//! `hidden_ratio` times D, rounded up to a multiple of 32, unless given. Its cache keeps the last row of a packed batch
//! instead of the last token of each sequence. `layer_idx` does not change values.

use ndarray::Array2;

use crate::algebra::{linear, rank};
use crate::mixer::{activation, token_shift};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv6_feed_forward<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (hidden, (delta, last)) = (x.matrix("x"), token_shift(x.matrix("x"), x.vector("x0")));
    let stream = |name: &str| -> Array2<F> {
        let mixed = &hidden + &(&delta * &x.vector(&format!("{name}.mu")));
        rank(linear(&mixed, x.tensor(&format!("{name}.linear.weight"))))
    };
    let key = stream("key").mapv(activation(x.problem.word("hidden_act")));
    let value: Array2<F> = rank(linear(&key, x.tensor("value.weight")));
    vec![(value * stream("receptance").mapv(F::sigmoid)).into_dyn(), last.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv6_feed_forward",
    level: Level::Module,
    summary: "o = sigmoid(receptance x') * value(sqrelu(key x'')), each of a token shift",
    source: "Peng et al. 2024 (arXiv 2404.05892), §4.1",
    upstream: &["fla.models.rwkv6.modeling_rwkv6.RWKV6FeedForward"],
    sizes: dims![B, T, D, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("key.mu", dims![D], Domain::Uniform(0.0, 1.0)),
        Port::weight("key.linear.weight", dims![I, D], &[1, 1]),
        Port::weight("value.weight", dims![D, I], &[1, 1]),
        Port::new("receptance.mu", dims![D], Domain::Uniform(0.0, 1.0)),
        Port::weight("receptance.linear.weight", dims![D, D], &[1, 1]),
        Port::new("x0", dims![N, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("xt", dims![N, D], Domain::Normal)],
    attrs: &[Attr::word("hidden_act", &["sqrelu", "swish", "relu", "sigmoid"], "between key and value")],
    constraints: &[],
    independent: dims![B],
    states: &[State::elementwise("x0", "xt")],
    function: function!(rwkv6_feed_forward),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn halfway_to_the_token_before_and_a_gate_at_its_middle() {
        // key of 1 + (3 − 1)/2 = 2 is 2·2 = 4; its square 16 by 3, halved
        let inputs =
            "x=1 key.mu=0.5 key.linear.weight=2 value.weight=3 receptance.mu=1 receptance.linear.weight=0 x0=3";
        let back = "d_value.weight=8 d_key.linear.weight=24 d_key.mu=48 d_x=12 d_x0=12 d_receptance.linear.weight=36";
        check(&SPEC, "B=1 T=1 D=1 I=1", inputs, "d_o=1", &format!("o=24 xt=1 {back}"));
    }

    #[test]
    fn what_is_negative_is_dropped() {
        let inputs =
            "x=1,2 key.mu=0 key.linear.weight=-1 value.weight=3 receptance.mu=0 receptance.linear.weight=1 x0=9";
        check(&SPEC, "B=1 T=2 D=1 I=1", inputs, "d_o=1,1 d_xt=5", "o=0,0 xt=2 d_x=0,5 d_x0=0");
    }
}
