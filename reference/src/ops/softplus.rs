//! The softplus.
//!
//! $$ o = \ln(1 + e^x) $$
//!
//! Well conditioned everywhere, by `ln_1p`; formed as the logarithm of a sum that has been rounded, it is lost below
//! about −17 in single precision.
//!
//! Upstream: `fla/ops/utils/softplus.py` of 0.6.0, a function that kernels call; it is that logarithm, and x above 20.

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn softplus<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    vec![u.vector("x").mapv(F::softplus).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "softplus",
    level: Level::Op,
    summary: "o = ln(1 + exp(x))",
    source: "the definition",
    upstream: &["fla.ops.utils.softplus"],
    sizes: dims![B, T, D],
    inputs: &[Port::new("x", dims![B, T, D], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal).single()],
    attrs: &[],
    constraints: &[],
    independent: dims![B, D],
    states: &[],
    function: function!(softplus),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn in_the_middle_and_at_both_ends() {
        let expected =
            format!("o={},{},{},800 d_x=0.5,0.75,{},1", 2f64.ln(), 4f64.ln(), (-40f64).exp(), (-40f64).exp());
        check(&SPEC, "B=1 T=4 D=1", &format!("x=0,{},-40,800", 3f64.ln()), "d_o=1,1,1,1", &expected);
    }
}
