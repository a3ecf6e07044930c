//! DeltaNet: the delta rule between short convolutions and a norm.
//!
//! $$ q, k = \phi(\operatorname{conv}(W x)), \qquad v = \operatorname{swish}(\operatorname{conv}(W_v x)), \qquad
//! \beta = \sigma(W_b x) $$
//! $$ o = \operatorname{DeltaRule}(\hat q, \hat k, v, \beta), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! per head, with φ = `qk_activation` (`elu` is 1 + ELU), β = 1 without `use_beta` and no gate without `use_gate`.
//! `allow_neg_eigval` doubles β. The hats are `qk_norm`: unit length, or `sum`: each vector over the sum of its
//! magnitudes, which is no longer than that. So the recurrence contracts; nothing is forgotten but what later keys
//! overwrite. `sum` has kinks where a channel is 0, and is steep where all are small.
//!
//! Paper: Yang et al., *Parallelizing Linear Transformers with the Delta Rule over Sequence Length*, 2024, §3.3; `sum`:
//! Schlag, Irie & Schmidhuber, *Linear Transformers Are Secretly Fast Weight Programmers*, 2021, §4.2.
//! Upstream: `DeltaNet` of `fla/layers/delta_net.py` in 0.6.0: `num_heads` is H, `expand_k` H·K/D, `expand_v` H·V/D,
//! `d_model` another name of `hidden_size`. `mode` and `layer_idx` do not change values; absent biases of the
//! convolutions are `conv_bias=False`. More than 64 tokens go to a chunk form that refuses f32.

use ndarray::Array2;

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{NORM_EPS, activation, output_gate, qkv, read_out, sum_normalise, write_strength};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn delta_net_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let ([q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, activation(x.problem.word("qk_activation")));
    let sum = x.problem.word("qk_norm") == "sum";
    let [q, k] = [q, k].map(|keys| if sum { sum_normalise(keys) } else { keys });
    let beta = if x.problem.flag("use_beta") {
        write_strength(x, linear(&hidden, x.tensor("b_proj.weight")))
    } else {
        let all = if x.problem.flag("allow_neg_eigval") { 2.0 } else { 1.0 };
        Array2::from_elem((x.tokens, k.dim().1), F::from_f64(all)).into_dyn()
    };
    let mut answers = Call::of(&ops::delta_rule::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", v)
        .with("beta", beta)
        .with("h0", x.cube("h0"))
        .flag("qk_l2norm", !sum)
        .run();
    let gate = x.problem.flag("use_gate").then(|| output_gate(x, hidden, swish));
    let o = read_out(x, &answers.cube("o"), gate);
    vec![o, answers.take("ht"), q_conv, k_conv, v_conv]
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "delta_net_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(delta_rule(q, k, v, σ(b_proj x))))",
    source: "Yang et al. 2024 (arXiv 2406.06484), §3.3",
    upstream: &["fla.layers.DeltaNet"],
    sizes: dims![B, T, D, H, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("b_proj.weight", dims![H, D], &[]).when("use_beta"),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::weight("g_proj.weight", dims![H, V, D], &[2, 1]).when("use_gate"),
        Port::scale("o_norm.weight", dims![V]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, H, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_beta", true, "β is a sigmoid, not 1"),
        Attr::flag("use_gate", false, "gate the normed outputs"),
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::flag("allow_neg_eigval", false, "β in (0, 2): doubled"),
        Attr::word("qk_activation", &["silu", "relu", "elu", "identity"], "on q and k"),
        Attr::word("qk_norm", &["l2", "sum"], "q and k have unit length, or magnitudes that add up to 1"),
        Attr::number("norm_eps", NORM_EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(delta_net_layer),
};
