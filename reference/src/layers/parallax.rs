//! Attention with the covariance of values and a second score taken off, with rotary positions.
//!
//! $$ q, r, k = R\, N(W_{q,r,k} x + b_{q,r,k}), \quad v = W_v x + b_v, \quad o = \operatorname{Parallax}(q, r, k, v),
//! \quad y = W_o o $$
//!
//! with R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`, and N, with `qk_norm`, a division of
//! each head by its root mean square (ε = 10⁻⁵) and a weight. The attention is that of [`crate::ops::parallax`], with a
//! window of `window_size` tokens where there is one; its conditioning is the layer's. A key head serves HQ/H query
//! heads.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even. C3: D = HQ·K. C4: a window has a token.
//!
//! Paper: Zuo et al. on parameterized local linear attention (*Parallax*), 2026.
//! Upstream: `Parallax` of `fla/layers/parallax.py` in 0.6.0, with 16-bit inputs alone. Without `qkv_bias` there are no
//! biases; `max_position_embeddings` and `layer_idx` do not change values.

use crate::attention::{affine, as_wide_as_the_model, out, pairs, positioned, window, windowed};
use crate::call::Call;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn parallax_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let call = Call::of(&ops::parallax::SPEC)
        .with("q", positioned(x, "q"))
        .with("r", positioned(x, "r"))
        .with("k", positioned(x, "k"))
        .with("v", affine(x, "v"));
    out(x, &windowed(x, call).run().cube("o"))
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "parallax_layer",
    level: Level::Layer,
    summary: "o_proj(parallax(rotary(norm(q)), rotary(norm(r)), rotary(norm(k)), v))",
    source: "Zuo et al. 2026 (arXiv 2605.29157)",
    upstream: &["fla.layers.Parallax"],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("r_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("r_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
        Port::new("r_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
        Port::new("k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q, r and k"),
        Attr::auto("window_size", 3.0, "how many tokens a query sees, its own included; auto is all"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), pairs("C2"), as_wide_as_the_model("C3"), window("C4")],
    independent: dims![B],
    states: &[],
    function: function!(parallax_layer),
};
