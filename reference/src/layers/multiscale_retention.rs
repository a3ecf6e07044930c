//! Retention with projections: queries and keys turn with their position, and each head has its own constant decay.
//!
//! $$ q, k, v = W_q x, W_k x, W_v x, \qquad o = \operatorname{Retention}(R_t q, R_t k, v), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \phi(W_g x) \big) $$
//!
//! per head, with $R_t$ the rotation of [`rotary`](crate::modules::rotary) at position $t$, φ = `gate_fn`. With
//! `use_short_conv`, q, k and v pass a short convolution and swish; `feature_map` acts on q and k before they turn. A
//! key head serves HQ/H query heads, which have decays of their own.
//!
//! The states are seen from the next token: `h0` from the first one, at position 0, and `ht` from the one after the
//! last. So $h_t = \gamma R_{-1} h_{t-1} + k_t v_t^\top$ without positions, which is how the paper has it. Well
//! conditioned.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even.
//!
//! Paper: Sun et al., *Retentive Network: A Successor to Transformer for Large Language Models*, 2023, eq. 1 to 8, with
//! the norm of groups in eq. 8.
//! Upstream: `MultiScaleRetention` of `fla/layers/multiscale_retention.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads`
//! H, `expand_k` is HQ·K/D, `expand_v` HQ·V/D. Its states are seen from position 0 whatever came before, and the cache
//! says how many tokens that was. `mode`, `fuse_norm` and `layer_idx` do not change values, but with the mode
//! `parallel` there are no states. Without affine parameters the norm has no weight, and its weight is named
//! `g_norm_swish_gate` only with a fused swish gate.

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{activation, gated_heads, pairs, repeat, stream, turn};
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::{BASE, rotate};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn multiscale_retention_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    let act = if x.problem.flag("use_short_conv") { swish } else { |y| y };
    let feature = activation::<F>(x.problem.word("feature_map"));
    let [q, k] = [q, k].map(|y| rotate(&y.mapv(act).mapv(feature), BASE, 0.0, false));
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::retention::SPEC)
        .with("q", q)
        .with("k", repeat(&k, each))
        .with("v", repeat(&v.mapv(act), each))
        .with("h0", x.cube("h0"))
        .run();
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let mut o = answers.cube("o");
    if x.problem.flag("use_output_gate") {
        o = gated_heads(x, hidden, &o, eps);
    } else {
        o = normalise(&o, Some(x.tensor("g_norm.weight")), eps);
    }
    let ht = turn(&answers.cube("ht"), -(x.tokens as f64), BASE, false);
    vec![linear(&o, x.tensor("o_proj.weight")), ht.into_dyn(), q_conv, k_conv, v_conv]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "multiscale_retention_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(retention(rotary q, rotary k, v)) * swish(g_proj x))",
    source: "Sun et al. 2023 (arXiv 2307.08621), eq. 1 to 8",
    upstream: &["fla.layers.MultiScaleRetention"],
    sizes: dims![B, T, D, HQ, H, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("g_proj.weight", dims![HQ, V, D], &[2, 1]).when("use_output_gate"),
        Port::weight("q_conv1d.weight", dims![HQ, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![HQ, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::weight("o_proj.weight", dims![D, HQ, V], &[1, 2]),
        Port::scale("g_norm_swish_gate.weight", dims![V]).when("use_output_gate"),
        Port::scale("g_norm.weight", dims![V]).unless("use_output_gate"),
        Port::new("h0", dims![N, HQ, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, HQ, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HQ, K, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, HQ, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, H, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_short_conv", false, "convolve q, k and v"),
        Attr::flag("use_output_gate", true, "gate the normed outputs"),
        Attr::word("gate_fn", &["swish", "sigmoid", "relu"], "the activation of the output gate"),
        Attr::word("feature_map", &["none", "relu", "swish", "sigmoid"], "on q and k"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), pairs("C2")],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(multiscale_retention_layer),
};
