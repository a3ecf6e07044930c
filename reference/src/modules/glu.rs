//! The product of one stream with a gate made of another.
//!
//! $$ o = \phi(x) \odot y $$
//!
//! φ = `gate`: `swish` is $x\,\sigma(x)$, `sigmoid` is $\sigma(x)$, and `powlu` is $x^{m/(\sqrt x + 1)}\,\sigma(x)$
//! above 0 and $x\,\sigma(x)$ below, with m = `power`. Well conditioned; `powlu` has a kink at 0.
//!
//! Paper: Shazeer, *GLU Variants Improve Transformer*, 2020, eq. 4 and 5.
//! Upstream: `swiglu`, `sigmoidglu` and `powglu` of `fla/modules/activations/ops.py` in 0.6.0.

use ndarray::{Array2, ArrayView2};

use crate::algebra::{powlu, swish};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// What `power` is unless told otherwise.
pub const POWER: f64 = 3.0;

/// The gates by name.
pub const GATES: &[&str] = &["swish", "powlu", "sigmoid"];

/// `x` gates `y`.
pub fn gated<F: Real>(x: ArrayView2<'_, F>, y: ArrayView2<'_, F>, gate: &str, power: f64) -> Array2<F> {
    let phi = |x: F| match gate {
        "powlu" => powlu(x, power),
        "sigmoid" => x.sigmoid(),
        _ => swish(x),
    };
    x.mapv(phi) * y
}

fn glu<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let power = x.problem.number("power").unwrap_or(POWER);
    vec![gated(x.matrix("x"), x.matrix("y"), x.problem.word("gate"), power).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "glu",
    level: Level::Module,
    summary: "o = act(x) * y",
    source: "Shazeer 2020 (arXiv 2002.05202), eq. 4 and 5",
    upstream: &[
        "fla.modules.activations.swiglu",
        "fla.modules.activations.sigmoidglu",
        "fla.modules.activations.powglu",
    ],
    sizes: dims![B, T, D],
    inputs: &[Port::new("x", dims![B, T, D], Domain::Normal), Port::new("y", dims![B, T, D], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[Attr::word("gate", GATES, "the function of x"), Attr::number("power", POWER, 2.0, "the m of powlu")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(glu),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_gate_of_zero_is_half_open_or_shut() {
        check(&SPEC, "B=1 T=1 D=1", "x=0 y=6", "d_o=1", "o=0 d_x=3 d_y=0");
        check(&SPEC, "B=1 T=1 D=1 gate=sigmoid", "x=0 y=6", "d_o=1", "o=3 d_x=1.5 d_y=0.5");
    }

    #[test]
    fn a_power_that_falls_from_m_to_none() {
        // at 4 the exponent is m/3 = 1; below 0 the gate is that of swish
        let (up, down) = (1.0 / (1.0 + (-4f64).exp()), 1.0 / (1.0 + 4f64.exp()));
        let expected = format!("o={},{}", 8.0 * up, -8.0 * down);
        check(&SPEC, "B=1 T=2 D=1 gate=powlu", "x=4,-4 y=2,2", "", &expected);
        // at 1 the slope of the exponent does not matter: ln 1 is 0
        let one = 1.0 / (1.0 + (-1f64).exp());
        let slope = one * (1.5 + 1.0 - one);
        check(&SPEC, "B=1 T=1 D=1 gate=powlu", "x=1 y=1", "d_o=1", &format!("o={one} d_x={slope} d_y={one}"));
    }
}
