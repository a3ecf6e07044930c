//! Softmax attention with a forget gate for each query head, without positions.
//!
//! $$ q, k = N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad g = \ln \sigma(W_f x + b_f), \quad o =
//! \operatorname{FoX}(q, k, v, g), \quad y = W_o (\sigma(W_g x) \odot o) $$
//!
//! with N, with `qk_norm`, a division of each head by its root mean square (ε = 10⁻⁵) and a weight for every channel of
//! every head; the gate of the output only with `use_output_gate`. The attention is that of
//! [`crate::ops::forgetting_attn`], with a window of `window_size` tokens where there is one. A key head serves HQ/H
//! query heads. Well conditioned, but for heads that are as small as √ε before a norm.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: D = HQ·K. C3: a window has a token.
//!
//! Paper: Lin, Nikishin, He & Courville, *Forgetting Transformer: Softmax Attention with a Forget Gate*, 2025, §3.
//! Upstream: `ForgettingAttention` of `fla/layers/forgetting_attn.py` in 0.6.0, which cuts its cache at `window_size`
//! but lets a whole sequence see everything: what a prompt answers and what decoding answers differ. Without `qkv_bias`
//! there are no biases but that of the forget gate; `layer_idx` does not change values.

use ndarray::Ix2;

use crate::algebra::log_sigmoid;
use crate::attention::{EPS, affine, as_wide_as_the_model, biased, normed, out, window, windowed};
use crate::call::Call;
use crate::mixer::project;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn forgetting_attn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let call = Call::of(&ops::forgetting_attn::SPEC)
        .with("q", normed(x, "q", EPS))
        .with("k", normed(x, "k", EPS))
        .with("v", affine(x, "v"))
        .with("g", biased::<F, Ix2>(x, "f").mapv(log_sigmoid));
    let mut o = windowed(x, call).run().cube("o");
    if x.problem.flag("use_output_gate") {
        o = o * project(x, x.matrix("x"), "g_proj.weight").mapv(F::sigmoid);
    }
    out(x, &o)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "forgetting_attn_layer",
    level: Level::Layer,
    summary: "o_proj(forgetting_attn(norm(q), norm(k), v, log sigmoid(f_proj x)) * sigmoid(g_proj x))",
    source: "Lin et al. 2025 (arXiv 2503.02130), §3",
    upstream: &["fla.layers.ForgettingAttention"],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("f_proj.weight", dims![HQ, D], &[1, 1]),
        Port::new("f_proj.bias", dims![HQ], Domain::Normal),
        Port::weight("g_proj.weight", dims![HQ, K, D], &[2, 1]).when("use_output_gate"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![HQ, K], Domain::Uniform(0.5, 1.5)).merged(&[2]).when("qk_norm"),
        Port::new("k_norm.weight", dims![H, K], Domain::Uniform(0.5, 1.5)).merged(&[2]).when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::flag("use_output_gate", false, "gate the outputs"),
        Attr::auto("window_size", 3.0, "how many tokens a query sees, its own included; auto is all"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), as_wide_as_the_model("C2"), window("C3")],
    independent: dims![B],
    states: &[],
    function: function!(forgetting_attn_layer),
};
