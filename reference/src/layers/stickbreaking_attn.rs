//! Attention by breaking a stick, without positions.
//!
//! $$ q, k = N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad o = \operatorname{SB}(q, k, v), \quad y = W_o o $$
//!
//! with N, with `qk_norm`, a division of each head by its root mean square and a weight, where `norm_eps` is added to
//! the mean of squares. The attention is that of [`crate::ops::stickbreaking_attn`], of which the remainder is dropped.
//! A key head serves HQ/H query heads. Well conditioned, but for heads that are as small as √`norm_eps` before a norm.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: D = HQ·K.
//!
//! Paper: Tan et al., *Scaling Stick-Breaking Attention: An Efficient Implementation and In-depth Study*, 2024.
//! Upstream: `StickBreakingAttention` of `fla/layers/stickbreaking_attn.py` in 0.6.0, on a GPU and with 16-bit
//! projections alone. `layer_idx` does not change values.

use crate::attention::{affine, as_wide_as_the_model, normed, out};
use crate::call::Call;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn stickbreaking_attn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let mut answers = Call::of(&ops::stickbreaking_attn::SPEC)
        .with("q", normed(x, "q", eps))
        .with("k", normed(x, "k", eps))
        .with("v", affine(x, "v"))
        .flag("attend_current", x.problem.flag("attend_current"))
        .run();
    out(x, &answers.cube("o"))
}

const EPS: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "stickbreaking_attn_layer",
    level: Level::Layer,
    summary: "o_proj(stickbreaking_attn(norm(q), norm(k), v))",
    source: "Tan et al. 2024 (arXiv 2410.17980)",
    upstream: &["fla.layers.StickBreakingAttention"],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).when("qk_norm"),
        Port::new("k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares of that norm"),
        Attr::flag("attend_current", false, "a query sees its own token, and it breaks the stick first"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), as_wide_as_the_model("C2")],
    independent: dims![B],
    states: &[],
    function: function!(stickbreaking_attn_layer),
};
