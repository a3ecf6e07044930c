//! Gated DeltaProduct: the gated delta rule with R keys, values and write strengths of their own for each token.
//!
//! $$ q, k_r, v_r = \operatorname{swish}(\operatorname{conv}(W x)), \qquad \beta_r = 2 \sigma(W_b x), \qquad
//! g = -e^{A} \ln(1 + e^{W_a x + b}) $$
//! $$ o = \operatorname{GatedDeltaProduct}(\hat q, \hat k, v, g, \beta), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! with $A$ = `A_log` and $b$ = `dt_bias` of the value head, and the hats for unit length. A key head serves HV/H
//! value heads. Without `allow_neg_eigval` β is not doubled, without `use_forget_gate` g is 0. The recurrence
//! contracts, since keys have unit length and β lies in (0, 2); near 2 a write is a reflection, which forgets
//! nothing.
//!
//! # Errors
//! C1: HV is a multiple of H.
//!
//! Paper: Siems et al., *DeltaProduct: Improving State-Tracking in Linear RNNs via Householder Products*, 2025.
//! Upstream: `GatedDeltaProduct` of `fla/layers/gated_deltaproduct.py` in 0.6.0: `num_heads` is H, `num_v_heads` HV,
//! `head_dim` K, `expand_v` V/K, `num_householder` R. `mode` and `layer_idx` do not change values; absent biases of the
//! convolutions are `conv_bias=False`. Its chunk form refuses f32.

use ndarray::Array3;

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{NORM_EPS, head_decay, output_gate, qkv, read_out, write_strength};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gated_deltaproduct_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let ([q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, swish);
    let steps = |stream: Array3<F>| {
        let (tokens, count, width) = stream.dim();
        let each = x.problem.size(Dim::R);
        stream.into_shape_with_order((tokens, each, count / each, width)).expect("heads of each of the R steps")
    };
    let mut call = Call::of(&ops::gated_delta_product::SPEC)
        .with("q", q)
        .with("k", steps(k))
        .with("v", steps(v))
        .with("beta", write_strength(x, linear(&hidden, x.tensor("b_proj.weight"))))
        .with("h0", x.cube("h0"))
        .flag("qk_l2norm", true);
    if x.problem.flag("use_forget_gate") {
        call = call.with("g", head_decay(x, hidden, ["a_proj.weight", "A_log", "dt_bias"]));
    }
    let mut answers = call.run();
    let gate = x.problem.flag("use_output_gate").then(|| output_gate(x, hidden, swish));
    let o = read_out(x, &answers.cube("o"), gate);
    vec![o, answers.take("ht"), q_conv, k_conv, v_conv]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gated_deltaproduct_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(gated_delta_product(q, k_r, v_r, g, 2 σ(b_proj x))) * swish(g_proj x))",
    source: "Siems et al. 2025 (arXiv 2502.10297)",
    upstream: &["fla.layers.GatedDeltaProduct"],
    sizes: dims![B, T, D, R, H, HV, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![R, H, K, D], &[3, 1]),
        Port::weight("v_proj.weight", dims![R, HV, V, D], &[3, 1]),
        Port::weight("b_proj.weight", dims![R, HV, D], &[2, 1]),
        Port::weight("a_proj.weight", dims![HV, D], &[]).when("use_forget_gate"),
        Port::new("A_log", dims![HV], Domain::LogRate).single().when("use_forget_gate"),
        Port::new("dt_bias", dims![HV], Domain::Uniform(-5.0, 0.0)).single().when("use_forget_gate"),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![R, H, K, W], &[3, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![R, H, K], &[3]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![R, HV, V, W], &[3, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![R, HV, V], &[3]).when("use_short_conv"),
        Port::weight("g_proj.weight", dims![HV, V, D], &[2, 1]).when("use_output_gate"),
        Port::scale("o_norm.weight", dims![V]),
        Port::weight("o_proj.weight", dims![D, HV, V], &[1, 2]),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, R, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, R, HV, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, R, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, R, HV, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_output_gate", true, "gate the normed outputs"),
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::flag("use_forget_gate", true, "decay the state"),
        Attr::flag("allow_neg_eigval", true, "β in (0, 2): twice the sigmoid"),
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
    function: function!(gated_deltaproduct_layer),
};
