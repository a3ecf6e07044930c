//! A normalisation and a projection of what comes out of it.
//!
//! $$ o = W \operatorname{norm}(x + r) + b $$
//!
//! norm is [`super::group_norm`] with `norm_weight` and `norm_bias`: in `num_groups` groups, of which the usual norms
//! have one, and without the mean when `rms`. Outputs: `o`, and the sum `s` (upstream's `prenorm`). Ill conditioned
//! where a group's channels differ by less than √ε.
//!
//! # Errors
//! C1: D is a multiple of `num_groups`.
//!
//! Paper: Ba, Kiros & Hinton, *Layer Normalization*, 2016, eq. 4; Zhang & Sennrich, *RMSNorm*, 2019, eq. 4.
//! Upstream: `layer_norm_linear`, `rms_norm_linear` and `group_norm_linear` of `fla/modules/norm/layernorm.py` in
//! 0.6.0, and the classes that hold the norm's parameters alone. The normalised tokens are made again for the
//! gradients.

use ndarray::Ix2;

use super::group_norm::{EPS, WHOLE_GROUPS, groups, normalise};
use crate::algebra::{linear, plus, rank, stored};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn norm_linear<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let sum = stored(&x.matrix("x") + &x.matrix("residual"));
    let (weight, bias) = (x.tensor("norm_weight"), x.tensor("norm_bias"));
    let eps = x.problem.number("eps").unwrap_or(EPS);
    let y = normalise(sum.view(), groups(x.problem), weight, bias, eps, x.problem.flag("rms"));
    let o = rank::<F, Ix2>(linear(&y, x.tensor("linear_weight")));
    vec![plus(o, x.tensor("linear_bias")).into_dyn(), sum.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "norm_linear",
    level: Level::Module,
    summary: "s = x + residual;  o = W norm(s) + bias",
    source: "Ba, Kiros & Hinton 2016 (arXiv 1607.06450), eq. 4; Zhang & Sennrich 2019 (arXiv 1910.07467), eq. 4",
    upstream: &[
        "fla.modules.LayerNormLinear",
        "fla.modules.RMSNormLinear",
        "fla.modules.GroupNormLinear",
        "fla.modules.norm.layernorm.layer_norm_linear",
        "fla.modules.norm.layernorm.rms_norm_linear",
        "fla.modules.norm.layernorm.group_norm_linear",
    ],
    sizes: dims![B, T, D, I],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::scale("norm_weight", dims![D]),
        Port::bias("norm_bias", dims![D], &[1]),
        Port::weight("linear_weight", dims![I, D], &[1, 1]),
        Port::bias("linear_bias", dims![I], &[1]),
        Port::new("residual", dims![B, T, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[Port::new("o", dims![B, T, I], Domain::Normal), Port::new("s", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::number("num_groups", 1.0, 2.0, "groups of neighbouring channels"),
        Attr::number("eps", EPS, 0.25, "added to the variance"),
        Attr::flag("rms", false, "divide by the root mean square, without taking the mean off"),
    ],
    constraints: &[WHOLE_GROUPS],
    independent: dims![B],
    states: &[],
    function: function!(norm_linear),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn the_norm_comes_first() {
        let inputs = "x=1,2 residual=1,2 norm_weight=3,5 norm_bias=0,1 linear_weight=1,1,1,-1 linear_bias=7,8";
        // the normed token is (-3, 6)
        let expected = "o=10,-1 s=2,4 d_linear_weight=-3,6,0,0 d_linear_bias=1,0 d_norm_weight=-1,1 d_norm_bias=1,1";
        check(&SPEC, "B=1 T=1 D=2 I=2 eps=0", inputs, "d_o=1,0", expected);
    }

    #[test]
    fn groups_and_roots_of_squares() {
        let fields = "B=1 T=1 D=4 I=1 eps=0 absent=residual+norm_weight+norm_bias+linear_bias";
        let inputs = "x=1,3,10,30 linear_weight=1,2,4,8";
        check(&SPEC, &format!("{fields} num_groups=2"), inputs, "", "o=5");
        check(&SPEC, &format!("{fields} rms=true"), "x=1,7,7,1 linear_weight=1,2,4,8", "", "o=10.2");
    }
}
