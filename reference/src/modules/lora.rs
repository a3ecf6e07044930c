//! A projection through a bottleneck, with an activation inside.
//!
//! $$ o = W_2\, \phi(W_1 x) + b $$
//!
//! φ = `activation`. Well conditioned.
//!
//! Paper: Hu et al., *LoRA*, 2021, §4.1; Peng et al., *Eagle and Finch*, 2024 (with tanh).
//! Upstream: `LoRA` of `fla/layers/rwkv6.py` in 0.6.0, which `fla/layers/rwkv7.py` uses too.

use ndarray::{Array2, ArrayBase, ArrayViewD, Data, Ix2};

use crate::algebra::{affine, linear, rank};
use crate::mixer::activation;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `up · act(down · x) + bias`, all of `[T, D]`.
pub fn project<F: Real, S: Data<Elem = F>>(
    x: &ArrayBase<S, Ix2>,
    down: ArrayViewD<'_, F>,
    up: ArrayViewD<'_, F>,
    bias: ArrayViewD<'_, F>,
    act: fn(F) -> F,
) -> Array2<F> {
    let inner = rank::<F, Ix2>(linear(x, down)).mapv(act);
    rank(affine(&inner, up, bias))
}

fn lora<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [down, up, bias] = ["lora.0.weight", "lora.2.weight", "lora.2.bias"].map(|name| x.tensor(name));
    let act = activation(x.problem.word("activation"));
    vec![project(&x.matrix("x"), down, up, bias, act).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "lora",
    level: Level::Module,
    summary: "o = W2 act(W1 x) + bias",
    source: "Hu et al. 2021 (arXiv 2106.09685), §4.1; Peng et al. 2024 (arXiv 2404.05892)",
    upstream: &["fla.layers.rwkv6.LoRA"],
    sizes: dims![B, T, D, E, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("lora.0.weight", dims![E, D], &[1, 1]),
        Port::weight("lora.2.weight", dims![I, E], &[1, 1]),
        Port::bias("lora.2.bias", dims![I], &[1]),
    ],
    outputs: &[Port::new("o", dims![B, T, I], Domain::Normal)],
    attrs: &[Attr::word("activation", &["tanh", "none", "sigmoid", "relu"], "between the projections")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(lora),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn down_and_up() {
        let inputs = "x=2,3 lora.0.weight=3,-2 lora.2.weight=5 lora.2.bias=7";
        let back = "d_lora.0.weight=10,15 d_lora.2.bias=1 d_x=15,-10";
        check(&SPEC, "B=1 T=1 D=2 E=1 I=1", inputs, "d_o=1", &format!("o=7 d_lora.2.weight=0 {back}"));
        let inputs = "x=2,3 lora.0.weight=3,-1 lora.2.weight=5 lora.2.bias=7";
        check(&SPEC, "B=1 T=1 D=2 E=1 I=1 activation=none", inputs, "d_o=1", "o=22 d_lora.2.weight=3");
    }
}
