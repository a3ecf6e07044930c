//! The inverse of a unit lower triangular matrix, for each block of tokens: what chunked delta rules solve with.
//!
//! $$ O = (I + \operatorname{tril}_{-1} A)^{-1}, \qquad
//!    o_i = e_i - \sum_{j < i} a_{ij}\, o_j $$
//!
//! where rows are the tokens of a block of $C$, counted from the start of each sequence, whose last block may have fewer, and
//! columns are places in the block. What stands on and above the diagonal of A is not read; its gradient is zero.
//!
//! Ill-conditioned where elements of A are as large as 1: those of O may then double from row to row. Elements are drawn as
//! the products of unit keys of which they are made.
//!
//! Source: forward substitution, as in Golub & Van Loan, *Matrix Computations*.
//! Upstream: `fla/ops/utils/solve_tril.py` of 0.6.0, which takes blocks of 16, 32 and 64 and expects zeros on and above the
//! diagonal.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn triangular_inverse<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let a = u.matrix("a");
    let size = a.ncols();
    let mut o = Array2::from_elem(a.dim(), F::zero());
    for t in 0..u.tokens {
        let (start, i) = (t - t % size, t % size);
        for column in 0..i {
            let sum = (column..i).fold(F::zero(), |sum, j| sum.mac(a[[t, j]], o[[start + j, column]]));
            o[[t, column]] = -sum;
        }
        o[[t, i]] = F::one();
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "triangular_inverse",
    level: Level::Op,
    summary: "o = (I + a)⁻¹ for each block of tokens, a strictly lower triangular",
    source: "forward substitution",
    upstream: &["fla.ops.utils.solve_tril"],
    sizes: dims![B, T, H, C],
    inputs: &[Port::new("a", dims![B, T, H, C], Domain::Uniform(-0.5, 0.5))],
    outputs: &[Port::new("o", dims![B, T, H, C], Domain::Normal)],
    attrs: &[],
    constraints: &[],
    independent: dims![B, H],
    states: &[],
    function: function!(triangular_inverse),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_block_and_a_token_of_the_next() {
        let expected = "o=1,0,-2,1,1,0 d_a=0,0,-3,0,0,0";
        check(&SPEC, "B=1 T=3 H=1 C=2", "a=9,9,2,9,9,9", "d_o=5,0,3,0,7,0", expected);
    }

    #[test]
    fn three_rows() {
        // rows: e₀; e₁ − 2 e₀; e₂ − 3 e₀ − 5 (e₁ − 2 e₀)
        let expected = "o=1,0,0,-2,1,0,7,-5,1 d_a=0,0,0,5,0,0,-1,2,0";
        check(&SPEC, "B=1 T=3 H=1 C=3", "a=0,0,0,2,0,0,3,5,0", "d_o=0,0,0,0,0,0,1,0,0", expected);
    }
}
