//! Attention over values from which attention to the past has been subtracted, with rotary positions.
//!
//! $$ q, k = R\, N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad \beta = W_\beta x + b_\beta, \quad o =
//! \operatorname{DeltaFormer}(q, k, v, \beta), \quad y = W_o o $$
//!
//! with R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`, and N, with `qk_norm`, a division of
//! each head by its root mean square (ε = 10⁻⁵) and a weight. The attention is that of [`crate::ops::deltaformer`]; a
//! key head serves HQ/H query heads. No sigmoid holds β between 0 and 1: where |β| exceeds 1, errors may grow from
//! token to token.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even. C3: D = HQ·K.
//!
//! Paper: *Understanding Transformer from the Perspective of Associative Memory*, 2025.
//! Upstream: `DeltaFormerAttention` of `fla/layers/deltaformer.py` in 0.6.0, which refuses H < HQ although it has
//! `num_kv_heads`. `max_position_embeddings` and `layer_idx` do not change values.

use ndarray::Ix2;

use crate::attention::{affine, as_wide_as_the_model, biased, out, pairs, positioned};
use crate::call::Call;
use crate::mixer::repeat;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn deltaformer_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::deltaformer::SPEC)
        .with("q", positioned(x, "q"))
        .with("k", repeat(&positioned(x, "k"), each))
        .with("v", repeat(&affine(x, "v"), each))
        .with("beta", biased::<F, Ix2>(x, "b"))
        .run();
    out(x, &answers.cube("o"))
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "deltaformer_layer",
    level: Level::Layer,
    summary: "o_proj(deltaformer(rotary(norm(q)), rotary(norm(k)), v, b_proj x))",
    source: "Understanding Transformer from the Perspective of Associative Memory, 2025 (arXiv 2505.19488)",
    upstream: &["fla.layers.DeltaFormerAttention"],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("b_proj.weight", dims![HQ, D], &[1, 1]),
        Port::new("b_proj.bias", dims![HQ], Domain::Normal),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
        Port::new("k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), pairs("C2"), as_wide_as_the_model("C3")],
    independent: dims![B],
    states: &[],
    function: function!(deltaformer_layer),
};
