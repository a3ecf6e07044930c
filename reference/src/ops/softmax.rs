//! The softmax over the last axis.
//!
//! $$ o_i = \frac{e^{x_i}}{\sum_j e^{x_j}} $$
//!
//! The largest element is taken out first, which changes nothing and lets nothing overflow. Relative errors are absolute
//! ones of $x$: well conditioned for elements of moderate size.
//!
//! Upstream: `fla/ops/utils/softmax.py` of 0.6.0, where the gradient is a function of its own, of the result.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn softmax<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let mut o: Array2<F> = u.matrix("x").to_owned();
    for mut row in o.rows_mut() {
        let largest = row.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.value()));
        row.mapv_inplace(|x| (x - F::from_f64(largest)).exp());
        let sum = row.iter().copied().sum::<F>();
        row.mapv_inplace(|e| e / sum);
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "softmax",
    level: Level::Op,
    summary: "o = exp(x) / Σ exp(x) over the last axis",
    source: "the definition",
    upstream: &["fla.ops.utils.softmax_fwd", "fla.ops.utils.softmax_bwd"],
    sizes: dims![B, T, D],
    inputs: &[Port::new("x", dims![B, T, D], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal).single()],
    attrs: &[],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(softmax),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn logarithms_of_one_and_three() {
        // d_x = o (d_o − Σ o d_o)
        let inputs = format!("x=0,{},800,800", 3f64.ln());
        let expected = "o=0.25,0.75,0.5,0.5 d_x=0.1875,-0.1875,-0.5,0.5";
        check(&SPEC, "B=1 T=2 D=2", &inputs, "d_o=1,0,1,3", expected);
    }
}
