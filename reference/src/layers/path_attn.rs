//! Softmax attention whose keys are carried to the query by reflections that depend on the data.
//!
//! $$ q, k = N(W_{q,k} x), \quad v = W_v x, \quad w = \frac{u}{\sqrt{u^\top u + \epsilon}}, \quad u =
//! \operatorname{swish}(\operatorname{conv}(W_w x)), \quad \beta = 2 \sigma(W_\beta x + b_\beta), \quad g = \ln
//! \sigma(W_g x + b_g) $$
//!
//! and $y = W_o \operatorname{PaTH}(q, k, v, w, \beta, g)$, with a w and a β for each key head and ε = 10⁻⁶; N, with
//! `use_qk_norm`, a division of each head by its root mean square (ε = 10⁻⁵) and a weight; a bottleneck in $W_w$ unless
//! `use_low_rank_w` is false, no convolution and no swish ($u = W_w x$) unless `use_w_shortconv`, and g, one for each
//! query head, only with `use_forget_gate`. The attention is that of [`crate::ops::path_attn`]; a key head serves HQ/H
//! query heads. The direction of w is lost where u is as small as √ε.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: D = HQ·K.
//!
//! Paper: Yang et al., *PaTH Attention: Position Encoding via Accumulating Householder Transformations*, 2025.
//! Upstream: `PaTHAttention` of `fla/layers/path_attn.py` in 0.6.0, whose bottleneck has rank 32, whose transitions are
//! float16 past the first 64 tokens, and whose answers to a padded batch leave the norm of q and k out. Without
//! `conv_bias` the convolution has no bias; `layer_idx` does not change values.

use ndarray::{Array3, ArrayD, Axis, Ix2};

use crate::algebra::{bottleneck, log_sigmoid, rank, swish};
use crate::attention::{EPS, as_wide_as_the_model, biased, out};
use crate::call::Call;
use crate::mixer::{convolve, project};
use crate::modules::rms_norm::normalise;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn path_attn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [q, k] = ["q", "k"].map(|name| {
        let heads = project(x, hidden, &format!("{name}_proj.weight"));
        let weight = || x.tensor(&format!("maybe_{name}_norm.weight"));
        if x.problem.flag("use_qk_norm") { normalise(&heads, Some(weight()), EPS) } else { heads }
    });
    let two = F::from_f64(2.0);
    let mut call = Call::of(&ops::path_attn::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", project(x, hidden, "v_proj.weight"))
        .with("w", directions(x))
        .with("beta", biased::<F, Ix2>(x, "bt").mapv(|z| two * z.sigmoid()));
    if x.problem.flag("use_forget_gate") {
        call = call.with("g", biased::<F, Ix2>(x, "g").mapv(log_sigmoid));
    }
    out(x, &call.run().cube("o"))
}

/// What the reflections of each key head turn around: `[T, H, K]`.
fn directions<F: Real>(x: &Unit<'_, F>) -> Array3<F> {
    let hidden = x.matrix("x");
    let mut w: Array3<F> = if x.problem.flag("use_low_rank_w") {
        rank(bottleneck(&hidden, x.tensor("w_proj.0.weight"), x.tensor("w_proj.1.weight")))
    } else {
        project(x, hidden, "w_proj.weight")
    };
    if x.problem.flag("use_w_shortconv") {
        let before = ArrayD::from_elem(x.tensor("w_conv1d.weight").raw_dim(), F::zero());
        w = convolve(x, &w, "w_conv1d", before).0.mapv(swish);
    }
    for mut head in w.lanes_mut(Axis(2)) {
        let squares: F = head.iter().map(|&w| w * w).sum();
        let length = (squares + F::from_f64(L2_EPS)).sqrt();
        head.mapv_inplace(|w| w / length);
    }
    w
}

const L2_EPS: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "path_attn_layer",
    level: Level::Layer,
    summary: "o_proj(path_attn(q, k, v, l2norm(swish(conv(w_proj x))), 2 sigmoid(bt_proj x), log sigmoid(g_proj x)))",
    source: "Yang et al. 2025 (arXiv 2505.16381)",
    upstream: &["fla.layers.PaTHAttention"],
    sizes: dims![B, T, D, HQ, H, K, E, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("w_proj.0.weight", dims![E, D], &[1, 1]).when("use_low_rank_w"),
        Port::weight("w_proj.1.weight", dims![H, K, E], &[2, 1]).when("use_low_rank_w"),
        Port::weight("w_proj.weight", dims![H, K, D], &[2, 1]).unless("use_low_rank_w"),
        Port::new("maybe_q_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("use_qk_norm"),
        Port::new("maybe_k_norm.weight", dims![K], Domain::Uniform(0.5, 1.5)).single().when("use_qk_norm"),
        Port::weight("w_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_w_shortconv"),
        Port::bias("w_conv1d.bias", dims![H, K], &[2]).when("use_w_shortconv"),
        Port::weight("bt_proj.weight", dims![H, D], &[1, 1]),
        Port::new("bt_proj.bias", dims![H], Domain::Normal),
        Port::weight("g_proj.weight", dims![HQ, D], &[1, 1]).when("use_forget_gate"),
        Port::new("g_proj.bias", dims![HQ], Domain::Normal).when("use_forget_gate"),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("use_forget_gate", false, "a forget gate for each query head"),
        Attr::flag("use_qk_norm", false, "norm each head of q and k"),
        Attr::flag("use_low_rank_w", true, "w comes through a bottleneck"),
        Attr::flag("use_w_shortconv", true, "convolve w"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), as_wide_as_the_model("C2")],
    independent: dims![B],
    states: &[],
    function: function!(path_attn_layer),
};
