//! Softmax attention over products whose channels decay, without positions.
//!
//! $$ q, k = N(W_{q,k} x + b_{q,k}), \quad v = W_v x + b_v, \quad g = \ln \sigma(W_g x + b_g), \quad c = \ln \sigma(W_c
//! x + b_c), \quad o = \operatorname{Wall}(q, k, v, g, c), \quad y = W_o (\sigma(W_r x) \odot o) $$
//!
//! with a decay g for each channel of each query head; the forget gate c of each query head (`gs_proj`) only with
//! `use_scalar_gate`, the gate of the output (`o_gate_proj`) only with `use_output_gate`; and N, with `qk_norm`, a
//! division of each head by its root mean square (ε = 10⁻⁵) and a weight for every channel of every head. The attention
//! is that of [`crate::ops::wall_attn`], with a window of `window_size` tokens where there is one. A key head serves
//! HQ/H query heads. Well conditioned, but for heads that are as small as √ε before a norm.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: D = HQ·K. C3: a window has a token.
//!
//! Paper: none is named upstream, which credits Averbuch & Pai of Tilde Research.
//! Upstream: `WallAttention` of `fla/layers/wall_attn.py` in 0.6.0, which decodes from a cache of 16-bit keys whatever
//! the inputs are, and whose kernel loses the nearest tokens in channels that decay by more than 110 bits within 32.
//! `gate_init_bias` and `layer_idx` do not change values.

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

fn wall_attn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let mut call = Call::of(&ops::wall_attn::SPEC)
        .with("q", normed(x, "q", EPS))
        .with("k", normed(x, "k", EPS))
        .with("v", affine(x, "v"))
        .with("g", affine(x, "g").mapv(log_sigmoid));
    if x.problem.flag("use_scalar_gate") {
        call = call.with("g_scalar", biased::<F, Ix2>(x, "gs").mapv(log_sigmoid));
    }
    let mut o = windowed(x, call).run().cube("o");
    if x.problem.flag("use_output_gate") {
        o = o * project(x, x.matrix("x"), "o_gate_proj.weight").mapv(F::sigmoid);
    }
    out(x, &o)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "wall_attn_layer",
    level: Level::Layer,
    summary: "o_proj(wall_attn(norm(q), norm(k), v, log sigmoid(g_proj x), log sigmoid(gs_proj x)) * sigmoid(gate))",
    source: "none named",
    upstream: &["fla.layers.WallAttention"],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.bias", dims![H, K], Domain::Normal).merged(&[2]).when("qkv_bias"),
        Port::weight("g_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("g_proj.bias", dims![HQ, K], Domain::Normal).merged(&[2]),
        Port::weight("gs_proj.weight", dims![HQ, D], &[1, 1]).when("use_scalar_gate"),
        Port::new("gs_proj.bias", dims![HQ], Domain::Normal).when("use_scalar_gate"),
        Port::weight("o_gate_proj.weight", dims![HQ, K, D], &[2, 1]).when("use_output_gate"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("q_norm.weight", dims![HQ, K], Domain::Uniform(0.5, 1.5)).merged(&[2]).when("qk_norm"),
        Port::new("k_norm.weight", dims![H, K], Domain::Uniform(0.5, 1.5)).merged(&[2]).when("qk_norm"),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("qkv_bias", false, "add biases"),
        Attr::flag("qk_norm", false, "norm each head of q and k"),
        Attr::flag("use_scalar_gate", false, "a forget gate for each query head"),
        Attr::flag("use_output_gate", false, "gate the outputs"),
        Attr::auto("window_size", 3.0, "how many tokens a query sees, its own included; auto is all"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), as_wide_as_the_model("C2"), window("C3")],
    independent: dims![B],
    states: &[],
    function: function!(wall_attn_layer),
};
