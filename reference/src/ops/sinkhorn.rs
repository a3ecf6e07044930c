//! Sinkhorn's iteration: a positive matrix for each token, brought towards column and row sums of 1.
//!
//! $$ X \leftarrow X - \ln \sum_i e^{X_{ij}}, \qquad X \leftarrow X - \ln \sum_j e^{X_{ij}} $$
//!
//! `num_iters` times from $X$ = `logits`, columns first, and $o = e^X$. Rows end with a sum of 1, columns near it. Well
//! conditioned for logits of moderate size.
//!
//! # Errors
//! C1: a whole number of iterations.
//!
//! Paper: Sinkhorn, *A Relationship Between Arbitrary Positive Matrices and Doubly Stochastic Matrices*, 1964.
//! Upstream: `fla/ops/utils/sinkhorn` of 0.6.0, for matrices of 8 by 8 at most.

use ndarray::{Array3, ArrayViewMut1, Axis};

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn sinkhorn<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let mut x: Array3<F> = u.cube("logits").to_owned();
    let rounds = u.problem.number("num_iters").map_or(0, |n| n as usize);
    for mut matrix in x.axis_iter_mut(Axis(0)) {
        for _ in 0..rounds {
            matrix.columns_mut().into_iter().for_each(normalise);
            matrix.rows_mut().into_iter().for_each(normalise);
        }
        matrix.mapv_inplace(F::exp);
    }
    vec![x.into_dyn()]
}

/// Takes the logarithm of the sum of the exponentials away.
fn normalise<F: Real>(mut x: ArrayViewMut1<'_, F>) {
    let largest = F::from_f64(x.iter().fold(f64::NEG_INFINITY, |m, x| m.max(x.value())));
    let sum = largest + x.iter().map(|&x| (x - largest).exp()).sum::<F>().ln();
    x.mapv_inplace(|x| x - sum);
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "sinkhorn",
    level: Level::Op,
    summary: "X −= ln Σ exp(X) over columns, then rows, num_iters times;  o = exp(X)",
    source: "Sinkhorn 1964",
    upstream: &["fla.ops.utils.sinkhorn", "fla.ops.utils.sinkhorn.naive_sinkhorn"],
    sizes: dims![B, T, M],
    inputs: &[Port::new("logits", dims![B, T, M, M], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, M, M], Domain::Normal).single()],
    attrs: &[Attr::number("num_iters", 20.0, 1.0, "iterations, each over columns and rows")],
    constraints: &[Constraint {
        label: "C1",
        text: "num_iters is a whole number",
        holds: |p| p.number("num_iters").is_some_and(|n| n >= 0.0 && n.fract() == 0.0),
        break_it: |p| _ = p.attrs.insert("num_iters", Value::Number(0.5)),
        mend: |p| _ = p.attrs.remove("num_iters"),
    }],
    independent: dims![B],
    states: &[],
    function: function!(sinkhorn),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn one_iteration_of_a_matrix_by_hand() {
        // columns of 1, 3 and 1, 1 become 1/4, 3/4 and 1/2, 1/2; then the rows' sums are 3/4 and 5/4
        let inputs = format!("logits=0,0,{},0", 3f64.ln());
        let expected = format!("o={},{},0.6,0.4", 1.0 / 3.0, 2.0 / 3.0);
        check(&SPEC, "B=1 T=1 M=2 num_iters=1", &inputs, "", &expected);
    }

    #[test]
    fn a_doubly_stochastic_matrix_stays() {
        let (a, b) = (0.25f64.ln(), 0.75f64.ln());
        check(&SPEC, "B=1 T=1 M=2", &format!("logits={a},{b},{b},{a}"), "", "o=0.25,0.75,0.75,0.25");
    }
}
