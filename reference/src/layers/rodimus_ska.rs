//! Softmax attention over a window, whose heads share one key.
//!
//! $$ q, k = R\, N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad o = \operatorname{Attn}(q, k, v), \quad y = W_o o
//! $$
//!
//! with HQ heads of q and v and one of k; R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`; and
//! N, with `qk_norm`, a division of each head by its root mean square (ε = 10⁻⁵) and a weight. The attention is that of
//! [`crate::ops::attn`] with a window of `window_size` tokens. Well conditioned, but for heads that are as small as √ε
//! before a norm.
//!
//! # Errors
//! C1: K is even. C2: D = HQ·K. C3: a window has a token.
//!
//! Paper: He et al., *Rodimus\*: Breaking the Accuracy-Efficiency Trade-Off with Efficient Attentions*, 2024 (SW-SKA).
//! Upstream: `SlidingWindowSharedKeyAttention` of `fla/layers/rodimus.py` in 0.6.0, which rounds q, k and v to bfloat16
//! whatever the inputs are, unless they are 16-bit. `max_position_embeddings` and `layer_idx` do not change values.

use ndarray::{Axis, Ix2};

use crate::attention::{EPS, affine, as_wide_as_the_model, biased, out, pairs, positioned, turned, window, windowed};
use crate::call::Call;
use crate::mixer::repeat;
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rodimus_ska_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let mut k = biased::<F, Ix2>(x, "k");
    if x.problem.flag("qk_norm") {
        k = normalise(&k, Some(x.tensor("k_norm.weight")), EPS);
    }
    let call = Call::of(&ops::attn::SPEC)
        .with("q", positioned(x, "q"))
        .with("k", repeat(&turned(x, &k.insert_axis(Axis(1))), x.problem.size(Dim::HQ)))
        .with("v", affine(x, "v"));
    out(x, &windowed(x, call).run().cube("o"))
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rodimus_ska_layer",
    level: Level::Layer,
    summary: "o_proj(attn(rotary(norm(q)), one rotary(norm(k)), v)) over a window",
    source: "He et al. 2024 (arXiv 2410.06577)",
    upstream: &["fla.layers.SlidingWindowSharedKeyAttention"],
    sizes: dims![B, T, D, HQ, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![K, D], &[1, 1]),
        Port::new("k_proj.bias", dims![K], Domain::Normal).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
        Port::new("k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::number("window_size", 2048.0, 3.0, "how many tokens a query sees, its own included"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[pairs("C1"), as_wide_as_the_model("C2"), window("C3")],
    independent: dims![B],
    states: &[],
    function: function!(rodimus_ska_layer),
};
