//! The logarithm of the sum of exponentials over the last axis.
//!
//! $$ o = \ln \sum_j e^{s x_j} $$
//!
//! The largest element is taken out first, which changes nothing and lets nothing overflow. Well conditioned: errors are
//! at most those of $s x$.
//!
//! Upstream: `fla/ops/utils/logsumexp.py` of 0.6.0, which has no gradient.

use ndarray::Array1;

use crate::algebra::log_sum_exp;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn logsumexp<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let scale = F::from_f64(u.problem.number("scale").unwrap_or(1.0));
    let rows = u.matrix("x");
    let o: Array1<F> = rows.rows().into_iter().map(|row| log_sum_exp(row.mapv(|x| scale * x).view())).collect();
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "logsumexp",
    level: Level::Op,
    summary: "o = ln Σ exp(scale x) over the last axis",
    source: "the definition",
    upstream: &["fla.ops.utils.logsumexp_fwd"],
    sizes: dims![B, T, D],
    inputs: &[Port::new("x", dims![B, T, D], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T], Domain::Normal).single()],
    attrs: &[Attr::number("scale", 1.0, 0.375, "factor on x")],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(logsumexp),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn logarithms_of_one_and_three() {
        let inputs = format!("x=0,{},800,800", 3f64.ln());
        let expected = format!("o={},{} d_x=0.25,0.75,1,1", 4f64.ln(), 800.0 + 2f64.ln());
        check(&SPEC, "B=1 T=2 D=2", &inputs, "d_o=1,2", &expected);
        let expected = format!("o={},{} d_x=0.125,0.375,0.5,0.5", 4f64.ln(), 800.0 + 2f64.ln());
        let inputs = format!("x=0,{},1600,1600", 9f64.ln());
        check(&SPEC, "B=1 T=2 D=2 scale=0.5", &inputs, "d_o=1,2", &expected);
    }
}
