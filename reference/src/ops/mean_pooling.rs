//! The mean of each block of tokens.
//!
//! $$ o_t = \frac{1}{t - c(t) + 1} \sum_{j = c(t)}^{t} x_j, \qquad c(t) = C \lfloor t / C \rfloor $$
//!
//! at the last token t of every block, and zero at the others; $C$ = `chunk_size`, and tokens are counted from the start
//! of each sequence, whose last block may have fewer. Well conditioned relative to the largest element.
//!
//! # Errors
//! C1: a block has a whole number of tokens, at least 1.
//!
//! Upstream: `fla/ops/utils/pooling.py` of 0.6.0, whose result has a row for each block and none for other tokens: an
//! extent that no input has.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn mean_pooling<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let x = u.matrix("x");
    let size = u.problem.number("chunk_size").map_or(1, |size| size as usize);
    let mut o = Array2::from_elem(x.dim(), F::zero());
    for start in (0..u.tokens).step_by(size) {
        let end = u.tokens.min(start.saturating_add(size));
        let count = F::from_f64((end - start) as f64);
        for (i, o_i) in o.row_mut(end - 1).iter_mut().enumerate() {
            *o_i = (start..end).map(|t| x[[t, i]]).sum::<F>() / count;
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mean_pooling",
    level: Level::Op,
    summary: "o = mean of x over the block, at its last token",
    source: "the definition",
    upstream: &["fla.ops.utils.mean_pooling"],
    sizes: dims![B, T, H, K],
    inputs: &[Port::new("x", dims![B, T, H, K], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, H, K], Domain::Normal)],
    attrs: &[Attr::number("chunk_size", 64.0, 16.0, "tokens of a block")],
    constraints: &[Constraint {
        label: "C1",
        text: "chunk_size is a whole number, at least 1",
        holds: |p| p.number("chunk_size").is_some_and(|size| size >= 1.0 && size.fract() == 0.0),
        break_it: |p| _ = p.attrs.insert("chunk_size", Value::Number(0.5)),
        mend: |p| _ = p.attrs.remove("chunk_size"),
    }],
    independent: dims![B, H],
    states: &[],
    function: function!(mean_pooling),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_last_block_may_be_short() {
        let expected = "o=0,3,0,7,16 d_x=0.5,0.5,1.5,1.5,4";
        check(&SPEC, "B=1 T=5 H=1 K=1 chunk_size=2", "x=2,4,6,8,16", "d_o=9,1,9,3,4", expected);
    }
}
