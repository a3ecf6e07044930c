//! Elementwise gated recurrence.
//!
//! $$ h_t = e^{g_t} h_{t-1} + x_t, \qquad o_t = h_t $$
//!
//! Well conditioned for $g \le 0$. Each channel is by itself.
//!
//! Paper: Qin et al., *Hierarchically Gated Recurrent Neural Network for Sequence Modeling*, 2023, eq. 2, with the
//! input gate folded into $x$.
//! Upstream: `fla/ops/hgrn` of 0.6.0, where `g` has the storage type and the recurrent form's final state too.

use ndarray::Array1;

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn hgrn<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let (x, g) = (u.vector("x"), u.vector("g"));
    let mut h = u.scalar("h0");
    let mut o = Array1::from_elem(u.tokens, F::zero());
    for t in 0..u.tokens {
        h = g[t].exp() * h + x[t];
        o[t] = h;
    }
    vec![o.into_dyn(), ndarray::arr0(h).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "hgrn",
    level: Level::Op,
    summary: "h = exp(g) h + x;  o = h",
    source: "Qin et al. 2023 (arXiv 2311.04823), eq. 2",
    upstream: &["fla.ops.hgrn.chunk_hgrn", "fla.ops.hgrn.fused_recurrent_hgrn"],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("g", dims![B, T, D], Domain::LogDecay),
        Port::new("h0", dims![N, D], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("ht", dims![N, D], Domain::Normal).single()],
    attrs: &[],
    constraints: &[],
    independent: dims![B, D],
    states: &[State::new("h0", "ht")],
    function: function!(hgrn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::{HALF, check};

    #[test]
    fn two_tokens_and_their_gradients() {
        // h = 4/2 + 1, then 3/2 + 3; d_h is 2 at the second token and 2/2 + 1 at the first
        check(
            &SPEC,
            "B=1 T=2 D=1",
            &format!("x=1,3 g={HALF},{HALF} h0=4"),
            "d_o=1,0 d_ht=2",
            "o=3,4.5 ht=4.5 d_x=2,2 d_g=4,3 d_h0=1",
        );
    }

    #[test]
    fn channels_and_rows_are_apart() {
        check(&SPEC, "B=2 T=1 D=2", "x=1,2,3,4 g=0,0,0,0 h0=10,20,30,40", "", "o=11,22,33,44 ht=11,22,33,44");
    }
}
