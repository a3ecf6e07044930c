//! A vector and a product with a matrix, each with a factor.
//!
//! $$ o_t = \beta\, x + \alpha\, b^\top a_t $$
//!
//! Upstream: `fla/ops/utils/matmul.py` of 0.6.0, where the factors are tensors of one element, whatever the signature
//! says, x may have a row for each row of a, and there is no gradient.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn addmm<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let (x, a, b) = (u.vector("x"), u.matrix("a"), u.matrix("b"));
    let [alpha, beta] = ["alpha", "beta"].map(|name| F::from_f64(u.problem.number(name).unwrap_or(1.0)));
    let mut o = Array2::from_elem((u.tokens, b.ncols()), F::zero());
    for t in u.asked() {
        for ((o_j, b_col), &x_j) in o.row_mut(t).iter_mut().zip(b.columns()).zip(x) {
            *o_j = alpha * F::dot(a.row(t), b_col) + beta * x_j;
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "addmm",
    level: Level::Op,
    summary: "o = β x + α bᵀ a",
    source: "the definition",
    upstream: &["fla.ops.utils.addmm"],
    sizes: dims![B, T, K, V],
    inputs: &[
        Port::new("x", dims![V], Domain::Normal),
        Port::new("a", dims![B, T, K], Domain::Normal),
        Port::new("b", dims![K, V], Domain::Normal),
    ],
    outputs: &[Port::new("o", dims![B, T, V], Domain::Normal)],
    attrs: &[
        Attr::number("alpha", 1.0, 0.375, "factor on the product"),
        Attr::number("beta", 1.0, -0.5, "factor on x"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[],
    function: function!(addmm),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn two_rows_by_a_matrix() {
        let inputs = "x=10,20 a=1,2,3,4 b=1,-1,0,1";
        let expected = "o=7,12,11,12 d_x=0.5,0.5 d_a=-2,2,2,0 d_b=6,2,8,4";
        check(&SPEC, "B=1 T=2 K=2 V=2 alpha=2 beta=0.5", inputs, "d_o=0,1,1,0", expected);
    }
}
