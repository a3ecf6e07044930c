//! Kimi delta attention with projections: the delta rule with a log decay for each key channel, from a bottleneck.
//!
//! $$ q, k, v = \operatorname{swish}(\operatorname{conv}(W x)), \qquad g = -e^{A} \ln(1 + e^{F_2 F_1 x + b}), \qquad
//! \beta = \sigma(W_b x) $$
//! $$ o = \operatorname{KDA}(\hat q, \hat k, v, g, \beta), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \sigma(G_2 G_1 x + c) \big) $$
//!
//! per value head, with $A$ = `A_log` of the head, $b$ = `dt_bias` of the channel, $c$ = `g_proj.1.bias`, and the
//! hats for unit length. A key head serves HV/H value heads. With `lower_bound` ℓ, $g = \ell\, \sigma(e^{A} (F_2 F_1
//! x + b))$ instead. `allow_neg_eigval` doubles β. The recurrence contracts; the norm makes small outputs large.
//!
//! # Errors
//! C1: HV is a multiple of H. C2: `lower_bound` is negative.
//!
//! Paper: Kimi Team, *Kimi Linear: An Expressive, Efficient Attention Architecture*, 2025, §4.
//! Upstream: `KimiDeltaAttention` of `fla/layers/kda.py` in 0.6.0: `num_heads` is H, `num_v_heads` HV, `head_dim` K,
//! `expand_v` V/K; both bottlenecks have rank V. Its cached state is value-first. `safe_gate` chooses a kernel and how
//! `A_log` starts: with `mode` and `layer_idx` it does not change values; absent biases of the convolutions are
//! `conv_bias=False`.

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{NORM_EPS, bottleneck_gate, channel_decay, qkv, read_out, write_strength};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn kda_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let ([q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, swish);
    let mut answers = Call::of(&ops::kda::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", v)
        .with("g", channel_decay(x, hidden))
        .with("beta", write_strength(x, linear(&hidden, x.tensor("b_proj.weight"))))
        .with("h0", x.cube("h0"))
        .flag("qk_l2norm", true)
        .run();
    let o = read_out(x, &answers.cube("o"), Some(bottleneck_gate(x, hidden)));
    vec![o, answers.take("ht"), q_conv, k_conv, v_conv]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "kda_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(kda(q, k, v, gate(f_proj x), σ(b_proj x))) * σ(g_proj x))",
    source: "Kimi Team 2025 (arXiv 2510.26692), §4",
    upstream: &["fla.layers.KimiDeltaAttention"],
    sizes: dims![B, T, D, H, HV, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("A_log", dims![HV], Domain::LogRate).single(),
        Port::new("dt_bias", dims![HV, K], Domain::Uniform(-5.0, 0.0)).single().merged(&[2]),
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
        Port::weight("f_proj.1.weight", dims![HV, K, V], &[2, 1]),
        Port::weight("b_proj.weight", dims![HV, D], &[]),
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
        Attr::flag("allow_neg_eigval", false, "β in (0, 2): twice the sigmoid"),
        Attr::auto("lower_bound", -5.0, "what log decays stay above, as a sigmoid does; auto is none: a softplus"),
        Attr::number("norm_eps", NORM_EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[
        Constraint::grouped_values("C1"),
        Constraint {
            label: "C2",
            text: "lower_bound is negative",
            holds: |p| p.number("lower_bound").is_none_or(|bound| bound < 0.0),
            break_it: |p| _ = p.attrs.insert("lower_bound", Value::Number(1.0)),
            mend: |p| _ = p.attrs.remove("lower_bound"),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(kda_layer),
};
