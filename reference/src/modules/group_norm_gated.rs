//! Mamba-2's norm: in groups of channels, with a gate before or after.
//!
//! $$ o = \operatorname{norm}(x \odot z\,\sigma(z)), \qquad\text{or}\qquad
//! o = \operatorname{norm}(x) \odot z\,\sigma(z) $$
//!
//! the latter with `norm_before_gate`. norm is [`super::group_norm`] in `num_groups` groups, by the root mean square
//! unless `rms` is off, with `weight` and `bias` of all channels. Without `gated` there is no z. Ill conditioned where
//! a gate before the norm shuts: a group as small as √ε.
//!
//! # Errors
//! C1: D is a multiple of `num_groups`.
//!
//! Paper: Dao & Gu, *Transformers are SSMs*, 2024: the extra norm before the output projection.
//! Upstream: `RMSNormGated` and `LayerNormGated` of `fla/modules/norm/layernorm_gated.py` in 0.6.0, which count
//! channels (`group_size` is D/`num_groups`). The norm comes after the gate in the former and before it in the latter,
//! and in the functions, unless told otherwise; the functions' ε is 1e-6. `RMSNormGated` has no bias.

use super::group_norm::{EPS, WHOLE_GROUPS, groups, normalise};
use crate::algebra::swish;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn group_norm_gated<F: Real>(u: &Unit<'_, F>) -> Outputs<F> {
    let (gated, after) = (u.problem.flag("gated"), u.problem.flag("norm_before_gate"));
    let eps = u.problem.number("eps").unwrap_or(EPS);
    let mut x = u.matrix("x").to_owned();
    if gated && !after {
        x = x * u.matrix("z").mapv(swish);
    }
    let (weight, bias) = (u.tensor("weight"), u.tensor("bias"));
    let mut o = normalise(x.view(), groups(u.problem), weight, bias, eps, u.problem.flag("rms"));
    if gated && after {
        o = o * u.matrix("z").mapv(swish);
    }
    vec![o.into_dyn()]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "group_norm_gated",
    level: Level::Module,
    summary: "o = norm(x * swish(z)) or norm(x) * swish(z), in groups of channels",
    source: "Dao & Gu 2024 (arXiv 2405.21060)",
    upstream: &[
        "fla.modules.norm.RMSNormGated",
        "fla.modules.norm.LayerNormGated",
        "fla.modules.norm.layernorm_gated.rmsnorm_fn",
        "fla.modules.norm.layernorm_gated.layernorm_fn",
        "fla.modules.norm.layernorm_gated.rms_norm_ref",
    ],
    sizes: dims![B, T, D],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("z", dims![B, T, D], Domain::Normal).when("gated"),
        Port::scale("weight", dims![D]),
        Port::bias("bias", dims![D], &[1]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("rms", true, "divide by the root mean square, without taking the mean off"),
        Attr::flag("norm_before_gate", false, "gate what the norm gives, not what it gets"),
        Attr::flag("gated", true, "there is a gate"),
        Attr::number("num_groups", 1.0, 2.0, "groups of neighbouring channels"),
        Attr::number("eps", EPS, 0.25, "added to the variance"),
    ],
    constraints: &[WHOLE_GROUPS],
    independent: dims![B],
    states: &[],
    function: function!(group_norm_gated),
};

#[cfg(test)]
mod tests {
    use super::SPEC;
    use crate::by_hand::check;

    #[test]
    fn a_gate_of_zero_after_the_norm_has_a_slope_of_its_own() {
        let fields = "B=1 T=1 D=2 eps=0 norm_before_gate=true absent=bias";
        check(&SPEC, fields, "x=1,7 z=0,0 weight=5,10", "d_o=1,1", "o=0,0 d_z=0.5,7 d_x=0,0");
    }

    #[test]
    fn a_gate_before_the_norm_drops_out_where_it_is_the_same_for_all() {
        let fields = "B=1 T=1 D=2 eps=0 absent=bias";
        check(&SPEC, fields, "x=1,7 z=3,3 weight=5,10", "", "o=1,14");
        let fields = "B=1 T=1 D=4 eps=0 num_groups=2 rms=false absent=weight";
        check(&SPEC, fields, "x=1,3,30,10 z=3,3,9,9 bias=0,0,0,1", "d_o=0,0,0,0", "o=-1,1,1,0");
    }

    #[test]
    fn without_a_gate_it_is_the_norm() {
        check(&SPEC, "B=1 T=1 D=2 eps=0 gated=false absent=bias+weight", "x=1,7", "", "o=0.2,1.4");
    }
}
