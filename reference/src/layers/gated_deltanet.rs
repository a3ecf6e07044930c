//! Gated delta networks: the gated delta rule between short convolutions and a gated norm.
//!
//! $$ q, k, v = \operatorname{swish}(\operatorname{conv}(W x)), \qquad g = -e^{A} \ln(1 + e^{W_a x + b}), \qquad
//! \beta = \sigma(W_b x) $$
//! $$ o = \operatorname{GatedDeltaRule}(\hat q, \hat k, v, g, \beta), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \phi(W_g x) \big) $$
//!
//! per value head, with $A$ = `A_log`, $b$ = `dt_bias`, φ = `output_gate_activation`, and the hats for unit length. A
//! key head serves HV/H value heads. `allow_neg_eigval` doubles β. Keys have unit length and β lies in (0, 2), so the
//! recurrence contracts; the norm makes small outputs large, and with them the errors of a state that has decayed.
//!
//! # Errors
//! C1: HV is a multiple of H.
//!
//! Paper: Yang, Kautz & Hatamizadeh, *Gated Delta Networks*, 2024, §3.4 and figure 1.
//! Upstream: `GatedDeltaNet` of `fla/layers/gated_deltanet.py` in 0.6.0: `num_heads` is H, `num_v_heads` HV,
//! `head_dim` K, `expand_v` V/K. Its cached state is value-first. `silu` is another name of `swish`; `mode` and
//! `layer_idx` do not change values; absent biases of the convolutions are `conv_bias=False`.

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{NORM_EPS, activation, output_gate, qkv, read_out};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gated_deltanet_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let ([q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, swish);
    let mut answers = Call::of(&ops::gated_delta_rule::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", v)
        .with("g", linear(&hidden, x.tensor("a_proj.weight")))
        .with("A_log", x.vector("A_log"))
        .with("dt_bias", x.vector("dt_bias"))
        .with("beta", linear(&hidden, x.tensor("b_proj.weight")))
        .with("h0", x.cube("h0"))
        .flag("qk_l2norm", true)
        .flag("softplus_gate", true)
        .flag("beta_sigmoid", true)
        .flag("allow_neg_eigval", x.problem.flag("allow_neg_eigval"))
        .run();
    let phi = activation(x.problem.word("output_gate_activation"));
    let gate = x.problem.flag("use_gate").then(|| output_gate(x, hidden, phi));
    let o = read_out(x, &answers.cube("o"), gate);
    vec![o, answers.take("ht"), q_conv, k_conv, v_conv]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gated_deltanet_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(gated_delta_rule(q, k, v, a_proj x, σ(b_proj x))) * swish(g_proj x))",
    source: "Yang, Kautz & Hatamizadeh 2024 (arXiv 2412.06464), §3.4",
    upstream: &["fla.layers.GatedDeltaNet"],
    sizes: dims![B, T, D, H, HV, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("A_log", dims![HV], Domain::LogRate).single(),
        Port::new("dt_bias", dims![HV], Domain::Uniform(-5.0, 0.0)).single(),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![HV, V, D], &[2, 1]),
        Port::weight("a_proj.weight", dims![HV, D], &[]),
        Port::weight("b_proj.weight", dims![HV, D], &[]),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![HV, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![HV, V], &[2]).when("use_short_conv"),
        Port::weight("g_proj.weight", dims![HV, V, D], &[2, 1]).when("use_gate"),
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
        Attr::flag("use_gate", true, "gate the normed outputs"),
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::flag("allow_neg_eigval", false, "β in (0, 2): twice the sigmoid"),
        Attr::word("output_gate_activation", &["swish", "sigmoid"], "the activation of the output gate"),
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
    function: function!(gated_deltanet_layer),
};
