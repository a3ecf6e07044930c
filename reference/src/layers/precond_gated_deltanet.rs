//! Preconditioned gated delta networks: the preconditioned gated delta rule with projections.
//!
//! $$ q, k, v = \operatorname{swish}(\operatorname{conv}(W x)), \quad g = -e^{A} \ln(1 + e^{W_a x + b}), \quad
//! \beta = \sigma(W_b x), \quad \gamma = -e^{A'} \ln(1 + e^{W'_a x + b'}), \quad \alpha = \sigma(W'_b x) $$
//! $$ o = \operatorname{PrecondGatedDeltaRule}(\hat q, \hat k, v, g, \gamma, \beta, \alpha), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! with the hats for unit length. What is primed, named `_atk`, and `log_atk_scale` belong to the preconditioner and
//! to a key head; g and β belong to a value head, of which a key head serves HV/H. `allow_neg_eigval` doubles β. The
//! recurrence contracts while β times the preconditioner, at most `squash_x`, is at most 2: with doubled β it need
//! not.
//!
//! # Errors
//! C1: HV is a multiple of H. C2: `squash_x` is positive. C3: `squash_eps` is positive.
//!
//! Paper: *Preconditioned DeltaNet: Curvature-aware Sequence Modeling for Linear Recurrences*, 2026 (arXiv 2604.21100).
//! Upstream: `PrecondGatedDeltaNet` of `fla/layers/precond_gated_deltanet.py` in 0.6.0: `num_heads` is H,
//! `num_v_heads` HV, `head_dim` K, `expand_v` V/K; `log_atk_scale_init` is where `log_atk_scale` starts. With `mode`
//! and `layer_idx` it does not change values, but that `mode="naive"` bounds the norm of q and k by 10⁻¹² where the
//! others add 10⁻⁶ to the sum of squares. Absent biases of the convolutions are `conv_bias=False`.

use ndarray::{ArrayD, Axis};

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{NORM_EPS, head_decay, output_gate, qkv, read_out, spread, write_strength};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn precond_gated_deltanet_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let ([q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, swish);
    let each = x.problem.size(Dim::HV) / x.problem.size(Dim::H);
    let g_atk = head_decay(x, hidden, ["a_atk_proj.weight", "A_log_atk", "dt_bias_atk"]);
    let beta_atk: ArrayD<F> = linear(&hidden, x.tensor("b_atk_proj.weight")).mapv_into(F::sigmoid);
    let mut answers = Call::of(&ops::precond_gated_delta_rule::SPEC)
        .with("q", spread(&q, 1, each))
        .with("k", spread(&k, 1, each))
        .with("v", v)
        .with("g", head_decay(x, hidden, ["a_proj.weight", "A_log", "dt_bias"]))
        .with("g_atk", spread(&g_atk, 1, each))
        .with("beta", write_strength(x, linear(&hidden, x.tensor("b_proj.weight"))))
        .with("beta_atk", spread(&beta_atk, 1, each))
        .with("h0", x.cube("h0"))
        .with("a0", spread(&x.matrix("a0"), 0, each))
        .with("log_atk_scale", spread(&x.vector("log_atk_scale"), 0, each))
        .flag("qk_l2norm", true)
        .number("x", x.problem.number("squash_x").unwrap_or(RANGE))
        .number("eps", x.problem.number("squash_eps").unwrap_or(EPSILON))
        .run();
    let gate = x.problem.flag("use_gate").then(|| output_gate(x, hidden, swish));
    let o = read_out(x, &answers.cube("o"), gate);
    // the value heads of a key head have one preconditioner
    let first: Vec<usize> = (0..x.problem.size(Dim::H)).map(|h| h * each).collect();
    let a = answers.matrix("at").select(Axis(0), &first).into_dyn();
    vec![o, answers.take("ht"), a, q_conv, k_conv, v_conv]
}

/// Upstream's range of the preconditioner.
const RANGE: f64 = 1.5;
/// Upstream's addend below the logarithm.
const EPSILON: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "precond_gated_deltanet_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(precond_gated_delta_rule(q, k, v, g, g_atk, β, beta_atk)) * swish(g_proj x))",
    source: "Preconditioned DeltaNet 2026 (arXiv 2604.21100)",
    upstream: &["fla.layers.PrecondGatedDeltaNet"],
    sizes: dims![B, T, D, H, HV, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("log_atk_scale", dims![H], Domain::Uniform(-1.0, 0.0)).single(),
        Port::new("A_log", dims![HV], Domain::LogRate).single(),
        Port::new("dt_bias", dims![HV], Domain::Uniform(-5.0, 0.0)).single(),
        Port::new("A_log_atk", dims![H], Domain::LogRate).single(),
        Port::new("dt_bias_atk", dims![H], Domain::Uniform(-5.0, 0.0)).single(),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![HV, V, D], &[2, 1]),
        Port::weight("a_proj.weight", dims![HV, D], &[]),
        Port::weight("b_proj.weight", dims![HV, D], &[]),
        Port::weight("a_atk_proj.weight", dims![H, D], &[]),
        Port::weight("b_atk_proj.weight", dims![H, D], &[]),
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
        Port::new("a0", dims![N, H, K], Domain::Fraction).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, HV, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("at", dims![N, H, K], Domain::Fraction).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, HV, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_gate", true, "gate the normed outputs"),
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::flag("allow_neg_eigval", false, "β in (0, 2): twice the sigmoid"),
        Attr::number("norm_eps", NORM_EPS, 0.25, "added to the mean of squares"),
        Attr::number("squash_x", RANGE, 2.0, "the preconditioner is between x and 1/x"),
        Attr::number("squash_eps", EPSILON, 0.0625, "added to A before the logarithm"),
    ],
    constraints: &[
        Constraint::grouped_values("C1"),
        Constraint {
            label: "C2",
            text: "squash_x is positive",
            holds: |p| p.number("squash_x").is_some_and(|x| x > 0.0),
            break_it: |p| _ = p.attrs.insert("squash_x", Value::Number(0.0)),
            mend: |p| _ = p.attrs.insert("squash_x", Value::Number(RANGE)),
        },
        Constraint {
            label: "C3",
            text: "squash_eps is positive",
            holds: |p| p.number("squash_eps").is_some_and(|x| x > 0.0),
            break_it: |p| _ = p.attrs.insert("squash_eps", Value::Number(0.0)),
            mend: |p| _ = p.attrs.insert("squash_eps", Value::Number(EPSILON)),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::elementwise("a0", "at"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(precond_gated_deltanet_layer),
};
