//! A scalar function of every element, after a bias.
//!
//! $$ o = \tfrac1\tau\, \phi(x + b) $$
//!
//! with φ = `kind`: `swish` is $x\,\sigma(x)$, `logsigmoid` is $\ln \sigma(x)$, `elu_p1` is $e^x$ below 0 and $x + 1$
//! above, `sqrelu` is $\max(x, 0)^2$, `gelu` is $x\,\Phi(x)$ by way of tanh; τ = `temperature`. Well conditioned but
//! for the cancellation in $x + b$; the derivative of `relu` at 0 is 0.
//!
//! # Errors
//! C1: `temperature` is not 0.
//!
//! Paper: Hendrycks & Gimpel, *Gaussian Error Linear Units*, 2016, §2 (gelu); So et al., *Primer*, 2021 (sqrelu).
//! Upstream: the functions of `fla/modules/activations/ops.py` in 0.6.0, of which only `logsigmoid` has a temperature
//! and only `bias_gelu_impl` a bias; and the feature maps of `fla/modules/feature_map.py` that are nothing else.

use crate::mixer;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn activation<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let phi = mixer::activation::<F>(x.problem.word("kind"));
    let temperature = F::from_f64(x.problem.number("temperature").unwrap_or(1.0));
    let shifted = &x.matrix("x") + &x.vector("bias");
    vec![shifted.mapv(|x| phi(x) / temperature).into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "activation",
    level: Level::Module,
    summary: "o = act(x + bias) / temperature",
    source: "Hendrycks & Gimpel 2016 (arXiv 1606.08415), §2; So et al. 2021 (arXiv 2109.08668)",
    upstream: &[
        "fla.modules.activations.sigmoid",
        "fla.modules.activations.swish",
        "fla.modules.activations.logsigmoid",
        "fla.modules.activations.elu_p1",
        "fla.modules.activations.sqrelu",
        "fla.modules.activations.fast_gelu_impl",
        "fla.modules.activations.ops.bias_gelu_impl",
        "fla.modules.feature_map.ReLUFeatureMap",
        "fla.modules.feature_map.SquaredReLUFeatureMap",
        "fla.modules.feature_map.GELUFeatureMap",
        "fla.modules.feature_map.SwishFeatureMap",
        "fla.modules.feature_map.SigmoidFeatureMap",
    ],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("bias", dims![D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::word("kind", &["swish", "gelu", "sigmoid", "logsigmoid", "elu_p1", "sqrelu", "relu"], "the function"),
        Attr::number("temperature", 1.0, 2.0, "divides the result"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "temperature is not 0",
        holds: |p| p.number("temperature").is_some_and(|x| x.abs() > 0.0),
        break_it: |p| _ = p.attrs.insert("temperature", Value::Number(0.0)),
        mend: |p| _ = p.attrs.remove("temperature"),
    }],
    independent: dims![B],
    states: &[],
    function: function!(activation),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn slopes_at_the_origin() {
        let at = |kind: &str, o: f64, slope: f64| {
            let fields = format!("B=1 T=1 D=1 kind={kind}");
            check(&SPEC, &fields, "x=1 bias=-1", "d_o=1", &format!("o={o} d_x={slope} d_bias={slope}"));
        };
        at("swish", 0.0, 0.5);
        at("gelu", 0.0, 0.5);
        at("sigmoid", 0.5, 0.25);
        at("logsigmoid", -std::f64::consts::LN_2, 0.5);
        at("elu_p1", 1.0, 1.0);
        at("sqrelu", 0.0, 0.0);
        at("relu", 0.0, 0.0);
    }

    #[test]
    fn squares_and_exponentials() {
        check(&SPEC, "B=1 T=2 D=1 kind=sqrelu absent=bias", "x=3,-3", "d_o=1,1", "o=9,0 d_x=6,0");
        let e = (-3f64).exp();
        check(&SPEC, "B=1 T=2 D=1 kind=elu_p1 absent=bias", "x=3,-3", "d_o=1,1", &format!("o=4,{e} d_x=1,{e}"));
        // temperature 2: half of everything
        check(&SPEC, "B=1 T=1 D=1 kind=relu temperature=2 absent=bias", "x=3", "d_o=1", "o=1.5 d_x=0.5");
    }
}
