//! Softmax attention with rotary positions.
//!
//! $$ q, k = R\, N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad o = \operatorname{Attn}(q, k, v), \quad y = W_o o
//! $$
//!
//! with R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`, and N, with `qk_norm`, a division of
//! each head by its root mean square (ε = 10⁻⁵) and a weight. The attention is that of [`crate::ops::attn`], with a
//! window of `window_size` tokens where there is one. A key head serves HQ/H query heads. Well conditioned, but for
//! heads that are as small as √ε before a norm.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even. C3: D = HQ·K. C4: a window has a token.
//!
//! Paper: Vaswani et al., *Attention Is All You Need*, 2017, §3.2.2, with the positions of Su et al., *RoFormer*, 2021.
//! Upstream: `Attention` of `fla/layers/attn.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H. Without `qkv_bias`
//! there are no biases; `max_position_embeddings` and `layer_idx` do not change values. It needs flash-attn, and with
//! it 16-bit inputs.

use crate::attention::{affine, as_wide_as_the_model, out, pairs, positioned, window, windowed};
use crate::call::Call;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn attn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let call = Call::of(&ops::attn::SPEC)
        .with("q", positioned(x, "q"))
        .with("k", positioned(x, "k"))
        .with("v", affine(x, "v"));
    out(x, &windowed(x, call).run().cube("o"))
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "attn_layer",
    level: Level::Layer,
    summary: "o_proj(attn(rotary(norm(q)), rotary(norm(k)), v))",
    source: "Vaswani et al. 2017 (arXiv 1706.03762), §3.2.2",
    upstream: &["fla.layers.Attention"],
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
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
        Port::new("k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::auto("window_size", 3.0, "how many tokens a query sees, its own included; auto is all"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), pairs("C2"), as_wide_as_the_model("C3"), window("C4")],
    independent: dims![B],
    states: &[],
    function: function!(attn_layer),
};
