//! A token moved towards the one before it, and a projection of what results.
//!
//! $$ o_t = W \big( x_t + (x_{t-1} - x_t) \odot \mu \big) $$
//!
//! μ belongs to the layer, or with `data_dependent` to the token (`mu_t`). With `low_rank`, W is the bottleneck of
//! [`super::lora`] with tanh. Before the first token comes `x0`, and `xt` is the last one. Well conditioned.
//!
//! Paper: Peng et al., *Eagle and Finch*, 2024 (lerp and ddlerp).
//! Upstream: `LerpLinear` and `DDLerpLinear` of `fla/layers/rwkv6.py` in 0.6.0. A caller with a state gives them
//! `delta`, the difference, of [`super::token_shift`]; without, they make it from no state.

use ndarray::{Array2, Ix2};

use super::{lora, token_shift};
use crate::algebra::{linear, rank, tanh, times};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn lerp_linear<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (tokens, before) = (x.matrix("x"), x.vector("x0"));
    let mu = if x.problem.flag("data_dependent") { x.tensor("mu_t") } else { x.tensor("mu") };
    let mixed: Array2<F> = &tokens + &times(token_shift::shift(tokens, before), mu);
    let o: Array2<F> = if x.problem.flag("low_rank") {
        let [down, up, bias] = [DOWN, UP, BIAS].map(|name| x.tensor(name));
        lora::project(&mixed, down, up, bias, tanh)
    } else {
        rank::<F, Ix2>(linear(&mixed, x.tensor("linear.weight")))
    };
    vec![o.into_dyn(), token_shift::last(&tokens, before).to_owned().into_dyn()]
}

const DOWN: &str = "linear.lora.0.weight";
const UP: &str = "linear.lora.2.weight";
const BIAS: &str = "linear.lora.2.bias";

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "lerp_linear",
    level: Level::Module,
    summary: "o = W (x_t + (x_{t-1} - x_t) * mu)",
    source: "Peng et al. 2024 (arXiv 2404.05892)",
    upstream: &["fla.layers.rwkv6.LerpLinear", "fla.layers.rwkv6.DDLerpLinear"],
    sizes: dims![B, T, D, I, E],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("mu", dims![D], Domain::Uniform(0.0, 1.0)).unless("data_dependent"),
        Port::new("mu_t", dims![B, T, D], Domain::Uniform(0.0, 1.0)).when("data_dependent"),
        Port::weight("linear.weight", dims![I, D], &[1, 1]).unless("low_rank"),
        Port::weight(DOWN, dims![E, D], &[1, 1]).when("low_rank"),
        Port::weight(UP, dims![I, E], &[1, 1]).when("low_rank"),
        Port::bias(BIAS, dims![I], &[1]).when("low_rank"),
        Port::new("x0", dims![N, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, I], Domain::Normal), Port::new("xt", dims![N, D], Domain::Normal)],
    attrs: &[
        Attr::flag("data_dependent", false, "every token has a mixture of its own"),
        Attr::flag("low_rank", false, "project through a bottleneck with tanh"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[State::elementwise("x0", "xt")],
    function: function!(lerp_linear),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn half_way_to_the_token_before() {
        let inputs = "x=2,6 mu=0.5 linear.weight=10 x0=4";
        let back = "d_x=10,5 d_x0=5 d_mu=-20 d_linear.weight=7";
        check(&SPEC, "B=1 T=2 D=1 I=1", inputs, "d_o=1,1", &format!("o=30,40 xt=6 {back}"));
    }

    #[test]
    fn each_token_by_its_own_part() {
        let inputs = "x=2,6 mu_t=1,0.25 linear.weight=10";
        let fields = "B=1 T=2 D=1 I=1 data_dependent=true absent=x0";
        check(&SPEC, fields, inputs, "d_o=1,1", "o=0,50 xt=6 d_mu_t=-20,-40 d_x=2.5,7.5");
    }

    #[test]
    fn through_a_bottleneck() {
        let inputs = "x=2 mu=0.5 linear.lora.0.weight=0 linear.lora.2.weight=5 linear.lora.2.bias=3 x0=4";
        let fields = "B=1 T=1 D=1 I=1 E=1 low_rank=true";
        check(&SPEC, fields, inputs, "d_o=1", "o=3 d_linear.lora.0.weight=15 d_linear.lora.2.weight=0 d_x=0");
    }
}
