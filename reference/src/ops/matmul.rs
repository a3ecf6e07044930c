//! A product with a matrix, and a function of its elements.
//!
//! $$ o_t = f(b^\top a_t) $$
//!
//! f is nothing, or one of $\max(x, 0)$, $\max(x, x / 100)$, $\sigma$ and $\tanh$. The first two have a kink at 0, where
//! the derivative here is that of the left.
//!
//! # Errors
//! C1: one function at most.
//!
//! Upstream: `fla/ops/utils/matmul.py` of 0.6.0, where `activation` is a name and there is no gradient.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

const FUNCTIONS: [&str; 4] = ["relu", "leaky_relu", "sigmoid", "tanh"];

/// Slope of `leaky_relu` on the left.
const LEAK: f64 = 0.01;

fn matmul<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (a, b) = (x.matrix("a"), x.matrix("b"));
    let mut o = Array2::from_elem((x.tokens, b.ncols()), F::zero());
    for t in x.asked() {
        for (o_j, b_col) in o.row_mut(t).iter_mut().zip(b.columns()) {
            *o_j = activated(x, F::dot(a.row(t), b_col));
        }
    }
    vec![o.into_dyn()]
}

fn activated<F: Real>(x: &Unit<'_, F>, y: F) -> F {
    let left = y.value() <= 0.0;
    match FUNCTIONS.into_iter().find(|name| x.problem.flag(name)) {
        Some("relu") if left => F::zero() * y,
        Some("leaky_relu") if left => F::from_f64(LEAK) * y,
        Some("sigmoid") => y.sigmoid(),
        Some("tanh") => {
            let two = F::from_f64(2.0);
            two * (two * y).sigmoid() - F::one()
        }
        _ => y,
    }
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "matmul",
    level: Level::Op,
    summary: "o = f(bᵀ a)",
    source: "the definition",
    upstream: &["fla.ops.utils.matmul"],
    sizes: dims![B, T, K, V],
    inputs: &[Port::new("a", dims![B, T, K], Domain::Normal), Port::new("b", dims![K, V], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, V], Domain::Normal)],
    attrs: &[
        Attr::flag("relu", false, "what is negative becomes 0"),
        Attr::flag("leaky_relu", false, "what is negative is divided by 100"),
        Attr::flag("sigmoid", false, "the sigmoid of the product"),
        Attr::flag("tanh", false, "the hyperbolic tangent of the product"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "at most one of relu, leaky_relu, sigmoid and tanh",
        holds: |p| FUNCTIONS.iter().filter(|name| p.flag(name)).count() <= 1,
        break_it: |p| p.attrs.extend([("relu", Value::Flag(true)), ("tanh", Value::Flag(true))]),
        mend: |p| FUNCTIONS[1..].iter().for_each(|name| _ = p.attrs.remove(name)),
    }],
    independent: dims![B],
    states: &[],
    function: function!(matmul),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn two_rows_by_a_matrix() {
        let inputs = "a=1,2,3,4 b=1,-1,0,1";
        let expected = "o=1,1,3,1 d_a=-1,1,1,0 d_b=3,1,4,2";
        check(&SPEC, "B=1 T=2 K=2 V=2", inputs, "d_o=0,1,1,0", expected);
    }

    #[test]
    fn functions_of_the_product() {
        let inputs = format!("a=-2,{} b=1", 3f64.ln());
        let ask =
            |name, values: &str| check(&SPEC, &format!("B=1 T=2 K=1 V=1 {name}=true"), &inputs, "d_o=1,1", values);
        ask("relu", &format!("o=0,{} d_a=0,1", 3f64.ln()));
        ask("leaky_relu", &format!("o=-0.02,{} d_a=0.01,1", 3f64.ln()));
        ask("sigmoid", &format!("o={},0.75 d_a={},0.1875", 1.0 / (1.0 + 2f64.exp()), 0.25 / 1f64.cosh().powi(2)));
        ask("tanh", &format!("o={},0.8 d_a={},0.36", -2f64.tanh(), 1.0 / 2f64.cosh().powi(2)));
    }
}
