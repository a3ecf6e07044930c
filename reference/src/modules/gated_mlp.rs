//! The feed-forward network with a gate.
//!
//! $$ y = W_d \big( \phi(W_g x) \odot W_u x \big) $$
//!
//! φ = `hidden_act` is swish, or the `powlu` of [`super::glu`] with the power `powglu_power`. Well conditioned.
//!
//! Paper: Shazeer, *GLU Variants Improve Transformer*, 2020, eq. 6 (SwiGLU).
//! Upstream: `GatedMLP` of `fla/modules/mlp.py` in 0.6.0, whose inner width is `int(hidden · ratio · 2/3)` rounded up
//! to a multiple of 256 unless given. `fuse_swiglu` does not change values.

use ndarray::{Array2, ArrayView2, ArrayViewD, Ix2};

use super::glu::{POWER, gated};
use crate::algebra::{linear, rank};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `down(swish(gate x) · up x)`.
pub fn mlp<F: Real>(
    x: ArrayView2<'_, F>,
    gate: ArrayViewD<'_, F>,
    up: ArrayViewD<'_, F>,
    down: ArrayViewD<'_, F>,
) -> Array2<F> {
    mlp_by(x, [gate, up, down], "swish", POWER)
}

/// The same with another gate of [`super::glu`]; the weights are those of gate, up and down.
pub fn mlp_by<F: Real>(x: ArrayView2<'_, F>, weights: [ArrayViewD<'_, F>; 3], act: &str, power: f64) -> Array2<F> {
    let [gate, up, down] = weights;
    let [gate, up] = [gate, up].map(|weight| rank::<F, Ix2>(linear(&x, weight)));
    rank(linear(&gated(gate.view(), up.view(), act, power), down))
}

fn gated_mlp<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let weights = ["gate_proj.weight", "up_proj.weight", "down_proj.weight"].map(|name| x.tensor(name));
    let power = x.problem.number("powglu_power").unwrap_or(POWER);
    vec![mlp_by(x.matrix("x"), weights, x.problem.word("hidden_act"), power).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gated_mlp",
    level: Level::Module,
    summary: "o = down(act(gate x) * up x)",
    source: "Shazeer 2020 (arXiv 2002.05202), eq. 6",
    upstream: &["fla.modules.GatedMLP"],
    sizes: dims![B, T, D, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("gate_proj.weight", dims![I, D], &[1, 1]),
        Port::weight("up_proj.weight", dims![I, D], &[1, 1]),
        Port::weight("down_proj.weight", dims![D, I], &[1, 1]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::word("hidden_act", &["swish", "powlu"], "the gate"),
        Attr::number("powglu_power", POWER, 2.0, "the power of powlu"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(gated_mlp),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_shut_gate_lets_nothing_through_but_its_own_gradient() {
        // swish(0) = 0 with slope 1/2
        let inputs = "x=2 gate_proj.weight=0 up_proj.weight=3 down_proj.weight=5";
        check(&SPEC, "B=1 T=1 D=1 I=1", inputs, "d_o=1", "o=0 d_gate_proj.weight=30 d_up_proj.weight=0 d_x=0");
    }

    #[test]
    fn a_gate_of_one_is_the_same_at_every_power() {
        // 1^p σ(1), with the slope σ(1) (power/2 + 1 - σ(1))
        let open = 1.0 / (1.0 + (-1f64).exp());
        let fields = "B=1 T=1 D=1 I=1 hidden_act=powlu powglu_power=2";
        let inputs = "x=1 gate_proj.weight=1 up_proj.weight=3 down_proj.weight=5";
        let slope = 15.0 * open * (2.0 - open);
        check(&SPEC, fields, inputs, "d_o=1", &format!("o={} d_gate_proj.weight={slope}", 15.0 * open));
    }
}
