//! The write strength of the delta rules, from what their projection gives.
//!
//! $$ o_t = s\, \sigma(x_t) = \frac{s}{1 + e^{-x_t}} $$
//!
//! At $s = 2$ the transition $I - \beta k k^\top$ may have negative eigenvalues. Well conditioned everywhere.
//!
//! Paper: Yang et al., *Parallelizing Linear Transformers with the Delta Rule over Sequence Length*, 2024, for the
//! sigmoid; Grazzi et al., *Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues*, 2024, for the 2.
//! Upstream: `fla/ops/common/gate.py` of 0.6.0, whose result is `f32`.

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn beta_sigmoid<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let scale = F::from_f64(x.problem.number("scale").unwrap_or(1.0));
    vec![x.vector("x").mapv(|x| scale * x.sigmoid()).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "beta_sigmoid",
    level: Level::Op,
    summary: "o = scale sigmoid(x)",
    source: "Yang et al. 2024 (arXiv 2406.06484); Grazzi et al. 2024 (arXiv 2411.12537)",
    upstream: &["fla.ops.common.gate.fused_beta_sigmoid"],
    sizes: dims![B, T, H],
    inputs: &[Port::new("x", dims![B, T, H], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, H], Domain::Normal).single()],
    attrs: &[Attr::number("scale", 1.0, 2.0, "factor on the sigmoid")],
    constraints: &[],
    independent: dims![B, H],
    states: &[],
    function: function!(beta_sigmoid),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn at_nothing_and_at_the_logarithm_of_three() {
        let inputs = format!("x=0,{}", 3f64.ln());
        check(&SPEC, "B=1 T=2 H=1", &inputs, "d_o=1,1", "o=0.5,0.75 d_x=0.25,0.1875");
        check(&SPEC, "B=1 T=2 H=1 scale=2", &inputs, "d_o=1,1", "o=1,1.5 d_x=0.5,0.375");
    }
}
