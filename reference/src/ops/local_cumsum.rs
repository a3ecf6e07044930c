//! Sums over the tokens of a chunk so far, of each channel.
//!
//! $$ o_t = s \sum_{j = c(t)}^{t} x_j, \qquad c(t) = C \lfloor t / C \rfloor $$
//!
//! with $C$ = `chunk_size` and tokens counted from the start of each sequence. Over log decays of one sign well
//! conditioned.
//!
//! # Errors
//! C1: a chunk has a whole number of tokens, at least 1.
//!
//! Upstream: `fla/ops/utils/cumsum.py` of 0.6.0, `chunk_local_cumsum`, whose scalar form has no axis of channels and
//! whose `chunk_size` is a power of 2. Its `reverse` sums from each token to the end of the same chunk: what the
//! gradient here is, and no run from the last token to the first, whose chunks would begin at the end.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn local_cumsum<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let x = u.matrix("x");
    let scale = F::from_f64(u.problem.number("scale").unwrap_or(1.0));
    let size = u.problem.number("chunk_size").map_or(1, |size| size as usize);
    let mut o = Array2::from_elem(x.dim(), F::zero());
    for (mut o_col, x_col) in o.columns_mut().into_iter().zip(x.columns()) {
        let mut sum = F::zero();
        for (t, (o_t, &x_t)) in o_col.iter_mut().zip(x_col).enumerate() {
            sum = if t % size == 0 { x_t } else { sum + x_t };
            *o_t = scale * sum;
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "local_cumsum",
    level: Level::Op,
    summary: "o = scale Σ x over the tokens of the chunk so far",
    source: "the definition",
    upstream: &[
        "fla.ops.utils.chunk_local_cumsum",
        "fla.ops.utils.chunk_local_cumsum_scalar",
        "fla.ops.utils.chunk_local_cumsum_vector",
    ],
    sizes: dims![B, T, H, K],
    inputs: &[Port::new("x", dims![B, T, H, K], Domain::LogDecay).single()],
    outputs: &[Port::new("o", dims![B, T, H, K], Domain::Normal).single()],
    attrs: &[
        Attr::number("chunk_size", 64.0, 16.0, "tokens of a chunk"),
        Attr::number("scale", 1.0, 0.375, "factor on the sums"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "chunk_size is a whole number, at least 1",
        holds: |p| p.number("chunk_size").is_some_and(|size| size >= 1.0 && size.fract() == 0.0),
        break_it: |p| _ = p.attrs.insert("chunk_size", Value::Number(0.5)),
        mend: |p| _ = p.attrs.remove("chunk_size"),
    }],
    independent: dims![B, H],
    states: &[],
    function: function!(local_cumsum),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn sums_begin_anew_with_every_chunk() {
        let expected = "o=1,3,4,12,16 d_x=2,1,2,1,1";
        check(&SPEC, "B=1 T=5 H=1 K=1 chunk_size=2", "x=1,2,4,8,16", "d_o=1,1,1,1,1", expected);
        check(&SPEC, "B=1 T=3 H=1 K=1 scale=2", "x=1,2,4", "d_o=1,0,0", "o=2,6,14 d_x=2,0,0");
    }
}
