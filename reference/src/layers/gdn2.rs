//! Gated delta networks 2 with projections: an erase gate for each key channel, a write gate for each value channel.
//!
//! $$ q, k, v = \operatorname{swish}(\operatorname{conv}(W x)), \quad g = -e^{A} \ln(1 + e^{F_2 F_1 x + c}), \quad
//! b = \sigma(W_b x), \quad w = \sigma(W_w x) $$
//! $$ o = \operatorname{GDN2}(\hat q, \hat k, v, g, b, w), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \sigma(G_2 G_1 x + d) \big) $$
//!
//! with $A$ = `A_log` of the key head, $c$ = `dt_bias` of its channel, $d$ = `g_proj.1.bias`, and the hats for unit
//! length. A key head, with its g and b, serves HV/H value heads. `allow_neg_eigval` doubles b. Where b varies from
//! channel to channel the transition is no contraction, and only the decay bounds the state.
//!
//! # Errors
//! C1: HV is a multiple of H.
//!
//! Paper: *Gated DeltaNet-2: Decoupling Erase and Write in Linear Attention* (arXiv 2605.22791).
//! Upstream: `GatedDeltaNet2` of `fla/layers/gdn2.py` in 0.6.0: `num_heads` is H, `num_v_heads` HV, `head_dim` K,
//! `expand_v` V/K; both bottlenecks have rank V. `mode` and `layer_idx` do not change values; absent biases of the
//! convolutions are `conv_bias=False`.

use crate::algebra::swish;
use crate::call::Call;
use crate::mixer::{NORM_EPS, bottleneck_gate, channel_decay, project, qkv, read_out, spread, write_strength};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gdn2_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let ([q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, swish);
    let each = x.problem.size(Dim::HV) / x.problem.size(Dim::H);
    let erase = write_strength(x, project(x, hidden, "b_proj.weight").into_dyn());
    let mut answers = Call::of(&ops::gdn2::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", v)
        .with("g", spread(&channel_decay(x, hidden), 1, each))
        .with("b", spread(&erase, 1, each))
        .with("w", project(x, hidden, "w_proj.weight").mapv(F::sigmoid))
        .with("h0", x.cube("h0"))
        .flag("qk_l2norm", true)
        .run();
    let o = read_out(x, &answers.cube("o"), Some(bottleneck_gate(x, hidden)));
    vec![o, answers.take("ht"), q_conv, k_conv, v_conv]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gdn2_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(gdn2(q, k, v, gate(f_proj x), σ(b_proj x), σ(w_proj x))) * σ(g_proj x))",
    source: "Gated DeltaNet-2 (arXiv 2605.22791)",
    upstream: &["fla.layers.GatedDeltaNet2"],
    sizes: dims![B, T, D, H, HV, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("A_log", dims![H], Domain::LogRate).single(),
        Port::new("dt_bias", dims![H, K], Domain::Uniform(-5.0, 0.0)).single().merged(&[2]),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![HV, V, D], &[2, 1]),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![HV, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![HV, V], &[2]).when("use_short_conv"),
        Port::weight("f_proj.0.weight", dims![V, D], &[1, 1]),
        Port::weight("f_proj.1.weight", dims![H, K, V], &[2, 1]),
        Port::weight("b_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("w_proj.weight", dims![HV, V, D], &[2, 1]),
        Port::weight("g_proj.0.weight", dims![V, D], &[1, 1]),
        Port::weight("g_proj.1.weight", dims![HV, V, V], &[2, 1]),
        Port::new("g_proj.1.bias", dims![HV, V], Domain::Normal).merged(&[2]),
        Port::scale("o_norm.weight", dims![V]),
        Port::weight("o_proj.weight", dims![D, HV, V], &[1, 2]),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, HV, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, HV, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::flag("allow_neg_eigval", false, "erase gates in (0, 2): twice the sigmoid"),
        Attr::number("norm_eps", NORM_EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[Constraint::grouped_values("C1")],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(gdn2_layer),
};
