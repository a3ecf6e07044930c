//! A gated product and a projection of it.
//!
//! $$ o = W (\phi(x) \odot y) + b $$
//!
//! with the gates of [`super::glu`]. Well conditioned.
//!
//! Paper: Shazeer, *GLU Variants Improve Transformer*, 2020, eq. 6.
//! Upstream: `swiglu_linear`, `sigmoidglu_linear` and `powglu_linear` of `fla/modules/activations/ops.py` in 0.6.0,
//! which keep x and y and make the product again for the gradients; `SwiGLULinear` of `fla/modules/mlp.py` is the first
//! of them.

use ndarray::Ix2;

use super::glu::{GATES, POWER, gated};
use crate::algebra::{linear, plus, rank};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn glu_linear<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let power = x.problem.number("power").unwrap_or(POWER);
    let product = gated(x.matrix("x"), x.matrix("y"), x.problem.word("gate"), power);
    let o = rank::<F, Ix2>(linear(&product, x.tensor("weight")));
    vec![plus(o, x.tensor("bias")).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "glu_linear",
    level: Level::Module,
    summary: "o = W (act(x) * y) + bias",
    source: "Shazeer 2020 (arXiv 2002.05202), eq. 6",
    upstream: &[
        "fla.modules.activations.swiglu_linear",
        "fla.modules.activations.sigmoidglu_linear",
        "fla.modules.activations.powglu_linear",
        "fla.modules.mlp.SwiGLULinear",
    ],
    sizes: dims![B, T, D, I],
    inputs: &[
        Port::new("x", dims![B, T, I], Domain::Normal),
        Port::new("y", dims![B, T, I], Domain::Normal),
        Port::weight("weight", dims![D, I], &[1, 1]),
        Port::bias("bias", dims![D], &[1]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[Attr::word("gate", GATES, "the function of x"), Attr::number("power", POWER, 2.0, "the m of powlu")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(glu_linear),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_product_is_projected() {
        // σ(0) = 1/2: the products are 1 and 2
        let inputs = "x=0,0 y=2,4 weight=3,5 bias=7";
        let expected = "o=20 d_weight=1,2 d_bias=1 d_y=1.5,2.5 d_x=1.5,5";
        check(&SPEC, "B=1 T=1 D=1 I=2 gate=sigmoid", inputs, "d_o=1", expected);
    }
}
