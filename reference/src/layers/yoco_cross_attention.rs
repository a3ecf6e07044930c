//! Softmax attention to keys and values that another layer has made.
//!
//! $$ q = R\, N(W_q x + b_q), \qquad y = W_o \operatorname{Attn}(q, k, v) $$
//!
//! with k = `shared_k`, turned already, and v = `shared_v`; R the turn of [`crate::layers::yoco_shared_kv`]; and N,
//! with `qk_norm`, a division of each head by its root mean square (ε = 10⁻⁵) and a weight. The attention is that of
//! [`crate::ops::attn`], with a window of `window_size` tokens where there is one: causal, for the shared keys are of
//! the same tokens. A key head serves HQ/H query heads. Well conditioned, but for heads that are as small as √ε before
//! a norm.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even. C3: D = HQ·K. C4: a window has a token.
//!
//! Paper: Sun et al., *You Only Cache Once: Decoder-Decoder Architectures for Language Models*, 2024, eq. 3.
//! Upstream: `YOCOCrossAttention` of `fla/layers/yoco.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H. With one query
//! for many keys it leaves the window out. `max_position_embeddings` and `layer_idx` do not change values.

use crate::attention::{EPS, as_wide_as_the_model, normed, out, pairs, turned_by_neighbours, window, windowed};
use crate::call::Call;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn yoco_cross_attention_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let call = Call::of(&ops::attn::SPEC)
        .with("q", turned_by_neighbours(x, &normed(x, "q", EPS)))
        .with("k", x.cube("shared_k"))
        .with("v", x.cube("shared_v"));
    out(x, &windowed(x, call).run().cube("o"))
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "yoco_cross_attention_layer",
    level: Level::Layer,
    summary: "o_proj(attn(rotary(norm(q_proj x)), shared_k, shared_v))",
    source: "Sun et al. 2024 (arXiv 2405.05254), eq. 3",
    upstream: &["fla.layers.YOCOCrossAttention"],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("shared_k", dims![B, T, H, K], Domain::Normal),
        Port::new("shared_v", dims![B, T, H, K], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q"),
        Attr::auto("window_size", 3.0, "how many tokens a query sees, its own included; auto is all"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
        Attr::word("rope_inv_freq", &["fla", "yoco"], "how wavelengths are spread"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), pairs("C2"), as_wide_as_the_model("C3"), window("C4")],
    independent: dims![B],
    states: &[],
    function: function!(yoco_cross_attention_layer),
};
