//! Sums over the tokens so far, of each channel.
//!
//! $$ o_t = s \sum_{j \le t} x_j $$
//!
//! Over log decays of one sign well conditioned; sums of both signs keep the absolute error of their largest partial
//! sum. `reverse` sums over the tokens from this one on.
//!
//! Upstream: `fla/ops/utils/cumsum.py` of 0.6.0, `chunk_global_cumsum`, whose chunks are only how it computes; its scalar
//! form has no axis of channels.

use ndarray::Array2;

use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn cumsum<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let x = u.matrix("x");
    let scale = F::from_f64(u.problem.number("scale").unwrap_or(1.0));
    let mut o = Array2::from_elem(x.dim(), F::zero());
    for (mut o_col, x_col) in o.columns_mut().into_iter().zip(x.columns()) {
        let mut sum = F::zero();
        for (o_t, &x_t) in o_col.iter_mut().zip(x_col) {
            sum = sum + x_t;
            *o_t = scale * sum;
        }
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "cumsum",
    level: Level::Op,
    summary: "o = scale Σ x over the tokens so far",
    source: "the definition",
    upstream: &[
        "fla.ops.utils.chunk_global_cumsum",
        "fla.ops.utils.chunk_global_cumsum_scalar",
        "fla.ops.utils.chunk_global_cumsum_vector",
    ],
    sizes: dims![B, T, H, K],
    inputs: &[Port::new("x", dims![B, T, H, K], Domain::LogDecay).single()],
    outputs: &[Port::new("o", dims![B, T, H, K], Domain::Normal).single()],
    attrs: &[
        Attr::number("scale", 1.0, 0.375, "factor on the sums"),
        Attr::flag("reverse", false, "run from the last token to the first"),
    ],
    constraints: &[],
    independent: dims![B, H],
    states: &[],
    function: function!(cumsum),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn three_tokens_both_ways() {
        let inputs = "x=1,-1,2,-2,4,-4";
        let backwards = "o=7,-7,6,-6,4,-4 d_x=1,1,1,1,2,1";
        check(&SPEC, "B=1 T=3 H=1 K=2", inputs, "d_o=1,0,0,0,1,1", "o=1,-1,3,-3,7,-7 d_x=2,1,1,1,1,1");
        check(&SPEC, "B=1 T=3 H=1 K=2 reverse=true", inputs, "d_o=1,1,0,0,1,0", backwards);
        check(&SPEC, "B=1 T=3 H=1 K=2 scale=0.5", inputs, "", "o=0.5,-0.5,1.5,-1.5,3.5,-3.5");
    }
}
