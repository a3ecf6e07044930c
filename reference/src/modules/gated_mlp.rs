//! The feed-forward network with a gate.
//!
//! $$ y = W_d \big( \operatorname{swish}(W_g x) \odot W_u x \big) $$
//!
//! Well conditioned.
//!
//! Paper: Shazeer, *GLU Variants Improve Transformer*, 2020, eq. 6 (SwiGLU).
//! Upstream: `GatedMLP` of `fla/modules/mlp.py` in 0.6.0, whose inner width is
//! `int(hidden · ratio · 2/3)` rounded up to a multiple of 256 unless given.

use ndarray::{Array2, ArrayView2, ArrayViewD, Ix2};

use crate::algebra::{linear, rank, swish};
use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// `down(swish(gate x) · up x)`.
pub fn mlp<F: Real>(
    x: ArrayView2<'_, F>,
    gate: ArrayViewD<'_, F>,
    up: ArrayViewD<'_, F>,
    down: ArrayViewD<'_, F>,
) -> Array2<F> {
    let inner: Array2<F> = rank::<F, Ix2>(linear(&x, gate)).mapv(swish) * rank::<F, Ix2>(linear(&x, up));
    rank(linear(&inner, down))
}

fn gated_mlp<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let w = |name| x.tensor(name);
    vec![mlp(x.matrix("x"), w("gate_proj.weight"), w("up_proj.weight"), w("down_proj.weight")).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gated_mlp",
    level: Level::Module,
    summary: "o = down(swish(gate x) * up x)",
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
    attrs: &[],
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
}
