//! The deterministic projection without parameters: products of neighbours among both signs.
//!
//! $$ o_{jn} = r_n\, r_{n-j \bmod 2K}, \qquad r = [\max(x, 0),\ \max(-x, 0)], \quad 1 \le j \le \nu $$
//!
//! Well conditioned; a kink where an element is 0, with derivative 0.
//!
//! # Errors
//! C1: M is 2 K nu.
//!
//! Paper: Schlag et al., *Linear Transformers Are Secretly Fast Weight Programmers*, 2021, §5.3.
//! Upstream: `DPFPFeatureMap` of `fla/modules/feature_map.py` in 0.6.0, which rolls towards higher indices.

use ndarray::{Array2, ArrayView2};

use crate::algebra::relu;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// The features `[T, 2K nu]` of `x` `[T, K]`.
pub fn features<F: Real>(x: ArrayView2<'_, F>, nu: usize) -> Array2<F> {
    let (tokens, width) = x.dim();
    let part = |t, n: usize| if n < width { relu(x[[t, n]]) } else { relu(-x[[t, n - width]]) };
    let all = 2 * width;
    Array2::from_shape_fn((tokens, all * nu), |(t, i)| {
        let (roll, n) = (i / all + 1, i % all);
        part(t, n) * part(t, (n + all * roll - roll) % all)
    })
}

fn feature_map_dpfp<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    vec![features(x.matrix("x"), nu(x.problem)).into_dyn()]
}

fn nu(problem: &Problem) -> usize {
    problem.number("nu").map_or(NU, |n| n as usize)
}

const NU: usize = 4;

fn width(problem: &Problem) -> usize {
    2 * problem.size(Dim::K) * nu(problem)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "feature_map_dpfp",
    level: Level::Module,
    summary: "o = [r * roll(r, j) for j = 1..nu], r = [max(x, 0), max(-x, 0)]",
    source: "Schlag et al. 2021 (arXiv 2102.11174), §5.3",
    upstream: &["fla.modules.feature_map.DPFPFeatureMap"],
    sizes: dims![B, T, K, M],
    inputs: &[Port::new("x", dims![B, T, K], Domain::Normal)],
    outputs: &[Port::new("o", dims![B, T, M], Domain::Normal)],
    attrs: &[Attr::number("nu", NU as f64, 2.0, "neighbours")],
    constraints: &[Constraint {
        label: "C1",
        text: "M is 2 K nu",
        holds: |p| p.size(Dim::M) == width(p),
        break_it: |p| _ = p.sizes.insert(Dim::M, width(p) + 1),
        mend: |p| _ = p.sizes.insert(Dim::M, width(p)),
    }],
    independent: dims![B],
    states: &[],
    function: function!(feature_map_dpfp),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn neighbours_of_both_signs() {
        // r = (2, 0, 0, 3): with the last before the first, only the first has a neighbour
        let fields = "B=1 T=1 K=2 nu=1 M=4";
        check(&SPEC, fields, "x=2,-3", "d_o=1,1,1,1", "o=6,0,0,0 d_x=3,-2");
        // rolled by two nobody has one, by three the last has the first
        check(&SPEC, "B=1 T=1 K=2 nu=3 M=12", "x=2,-3", "", "o=6,0,0,0,0,0,0,0,0,0,0,6");
    }
}
