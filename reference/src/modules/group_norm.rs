//! Normalisation of every token in groups of channels, with a residual added first.
//!
//! $$ s = x + r, \qquad y_i = \frac{s_i - \mu}{\sqrt{\sigma^2 + \epsilon}}\, w_i + b_i $$
//!
//! with mean μ and (biased) variance σ² over the channels of the group, of which there are `num_groups`; with `rms`, μ
//! is 0 and σ² the mean of squares. Statistics never cross tokens. Ill conditioned where a group's channels differ by
//! less than √ε.
//!
//! # Errors
//! C1: D is a multiple of `num_groups`.
//!
//! Paper: Wu & He, *Group Normalization*, 2018, eq. 1 and 2, over the channels of one token alone.
//! Upstream: `GroupNorm` and `group_norm` of `fla/modules/norm/layernorm.py` in 0.6.0.

use ndarray::{Array2, ArrayView2, ArrayViewD};

use super::{layer_norm, rms_norm};
use crate::algebra::{matrix, plus, stored, times};
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

/// Each of `groups` runs of channels by itself, then `weight` and `bias` of all channels.
pub fn normalise<F: Real>(
    x: ArrayView2<'_, F>,
    groups: usize,
    weight: ArrayViewD<'_, F>,
    bias: ArrayViewD<'_, F>,
    eps: f64,
    rms: bool,
) -> Array2<F> {
    let (tokens, channels) = x.dim();
    let grouped = matrix(&x, tokens * groups, channels / groups);
    let y = if rms { rms_norm::normalise(&grouped, None, eps) } else { layer_norm::normalise(&grouped, eps) };
    plus(times(matrix(&y, tokens, channels), weight), bias)
}

fn group_norm<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let (groups, rms) = (groups(x.problem), x.problem.flag("rms"));
    let eps = x.problem.number("eps").unwrap_or(EPS);
    let y = normalise(sum.view(), groups, x.tensor("weight"), x.tensor("bias"), eps, rms);
    vec![y.into_dyn(), sum.into_dyn()]
}

/// What is added to the variance unless told otherwise.
pub(crate) const EPS: f64 = 1e-5;

/// How many groups there are.
pub(crate) fn groups(problem: &Problem) -> usize {
    problem.number("num_groups").map_or(1, |n| n as usize)
}

/// Groups of equal size.
pub(crate) const WHOLE_GROUPS: Constraint = Constraint {
    label: "C1",
    text: "D is a multiple of num_groups",
    holds: |p| groups(p) > 0 && p.size(Dim::D).is_multiple_of(groups(p)),
    break_it: |p| {
        p.sizes.insert(Dim::D, 3);
        p.attrs.insert("num_groups", Value::Number(2.0));
    },
    mend: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::D).next_multiple_of(groups(p).max(1))),
};

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "group_norm",
    level: Level::Module,
    summary: "s = x + residual;  o = (s - mean) / sqrt(var + eps) * weight + bias, in groups of channels",
    source: "Wu & He 2018 (arXiv 1803.08494), eq. 1 and 2",
    upstream: &[
        "fla.modules.GroupNorm",
        "fla.modules.norm.layernorm.GroupNormRef",
        "fla.modules.norm.layernorm.group_norm",
        "fla.modules.norm.layernorm.group_norm_ref",
    ],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("weight", dims![D], Domain::Uniform(0.5, 1.5)).presence(Presence::OrOne),
        Port::new("bias", dims![D], Domain::Normal).presence(Presence::OrZero),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal), Port::new("s", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::number("num_groups", 1.0, 2.0, "groups of neighbouring channels"),
        Attr::number("eps", EPS, 0.25, "added to the variance"),
        Attr::flag("rms", false, "divide by the root mean square, without taking the mean off"),
    ],
    constraints: &[WHOLE_GROUPS],
    independent: dims![B],
    states: &[],
    function: function!(group_norm),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn groups_know_nothing_of_each_other() {
        // means 2 and 20, deviations 1 and 10
        let inputs = "x=1,3,10,30 weight=1,2,3,4 bias=0,0,0,1";
        check(&SPEC, "B=1 T=1 D=4 num_groups=2 eps=0 absent=residual", inputs, "", "o=-1,2,-3,5 s=1,3,10,30");
    }

    #[test]
    fn without_the_mean() {
        let fields = "B=1 T=1 D=2 eps=0 rms=true absent=residual+weight+bias";
        check(&SPEC, fields, "x=1,7", "", "o=0.2,1.4");
    }
}
