//! The keys and values that all later layers share.
//!
//! $$ h = \frac{x}{\sqrt{\tfrac1D \sum_j x_j^2 + \epsilon}} \odot w, \qquad k = R\,(W_k h + b_k), \qquad v = W_v h +
//! b_v $$
//!
//! with ε = `norm_eps` and R the turn of [`crate::modules::rotary`] by neighbours, of base `rope_theta`, whose angles
//! for pair i of K/2 are as there, or with `rope_inv_freq` = `yoco` those of $\text{base}^{-i / (K/2 - 1)}$. The keys
//! are the output `o`. Well conditioned unless the tokens are as small as √ε.
//!
//! # Errors
//! C1: K is even.
//!
//! Paper: Sun et al., *You Only Cache Once: Decoder-Decoder Architectures for Language Models*, 2024, eq. 2.
//! Upstream: `YOCOSharedKVBuilder` of `fla/layers/yoco.py` in 0.6.0: `num_kv_heads` is H. Without `qkv_bias` there are
//! no biases; `fuse_norm`, `max_position_embeddings` and `layer_idx` do not change values.

use crate::algebra::{affine, rank};
use crate::attention::{pairs, turned_by_neighbours};
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::BASE;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn yoco_shared_kv_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let hidden = normalise(&x.matrix("x"), Some(x.tensor("kv_norm.weight")), eps);
    let [k, v] = ["k", "v"].map(|name| {
        let [weight, bias] = ["weight", "bias"].map(|part| x.tensor(&format!("{name}_proj.{part}")));
        rank(affine(&hidden, weight, bias))
    });
    vec![turned_by_neighbours(x, &k).into_dyn(), v.into_dyn()]
}

const EPS: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "yoco_shared_kv_layer",
    level: Level::Layer,
    summary: "o = rotary(k_proj(rms_norm(x)));  v = v_proj(rms_norm(x))",
    source: "Sun et al. 2024 (arXiv 2405.05254), eq. 2",
    upstream: &["fla.layers.YOCOSharedKVBuilder"],
    sizes: dims![B, T, D, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("kv_norm.weight", dims![D], Domain::Uniform(0.5, 1.5)),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
    ],
    outputs: &[Port::new("o", dims![B, T, H, K], Domain::Normal), Port::new("v", dims![B, T, H, K], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
        Attr::word("rope_inv_freq", &["fla", "yoco"], "how wavelengths are spread"),
    ],
    constraints: &[pairs("C1")],
    independent: dims![B],
    states: &[],
    function: function!(yoco_shared_kv_layer),
};
