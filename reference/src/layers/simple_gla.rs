//! Gated linear attention with projections and one decay for each head, which every token chooses.
//!
//! $$ q, k, v = \operatorname{swish}(\operatorname{conv}(W_q x, W_k x, W_v x)), \qquad
//! g = \tfrac{1}{\tau} \ln \sigma(W_g' x + b), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(\operatorname{SimpleGLA}(q, k, v, g)) \odot \phi(W_g x) \big) $$
//!
//! per head, with τ = `gate_logit_normalizer`, φ = `gate_fn`. Without `use_short_conv` there is neither the
//! convolution nor its swish; `feature_map` acts on q and k after that. A key head serves HQ/H query heads, which have
//! decays of their own. Well conditioned.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: `gate_logit_normalizer` is not 0.
//!
//! Paper: Yang et al., *Gated Linear Attention Transformers with Hardware-Efficient Training*, 2024, §4.4, with the
//! scalar decay of Dao & Gu, *Transformers are SSMs*, 2024, eq. 16.
//! Upstream: `SimpleGatedLinearAttention` of `fla/layers/simple_gla.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H,
//! `expand_k` is HQ·K/D, `expand_v` HQ·V/D. `mode`, `fuse_norm` and `layer_idx` do not change values; without affine
//! parameters the norm has no weight, and its weight is named `g_norm_swish_gate` only with a fused swish gate.

use ndarray::Array2;

use crate::algebra::{affine, linear, log_sigmoid, rank, swish};
use crate::call::Call;
use crate::mixer::{activation, gated_heads, repeat, stream};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn simple_gla_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    let act = if x.problem.flag("use_short_conv") { swish } else { |y| y };
    let feature = activation::<F>(x.problem.word("feature_map"));
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::simple_gla::SPEC)
        .with("q", q.mapv(act).mapv(feature))
        .with("k", repeat(&k.mapv(act).mapv(feature), each))
        .with("v", repeat(&v.mapv(act), each))
        .with("g", log_decay(x))
        .with("h0", x.cube("h0"))
        .run();
    let o = gated_heads(x, hidden, &answers.cube("o"), x.problem.number("norm_eps").unwrap_or(EPS));
    vec![linear(&o, x.tensor("o_proj.weight")), answers.take("ht"), q_conv, k_conv, v_conv]
}

/// `[T, HQ]`.
fn log_decay<F: Real>(x: &Unit<'_, F>) -> Array2<F> {
    let logits: Array2<F> = rank(affine(&x.matrix("x"), x.tensor("gk_proj.weight"), x.tensor("gk_proj.bias")));
    let temperature = F::from_f64(x.problem.number("gate_logit_normalizer").unwrap_or(TEMPERATURE));
    logits.mapv(|z| log_sigmoid(z) / temperature)
}

const EPS: f64 = 1e-5;
const TEMPERATURE: f64 = 16.0;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "simple_gla_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(simple_gla(q, k, v, log sigmoid(gk_proj x) / 16)) * swish(g_proj x))",
    source: "Yang et al. 2024 (arXiv 2312.06635), §4.4; Dao & Gu 2024 (arXiv 2405.21060), eq. 16",
    upstream: &["fla.layers.simple_gla.SimpleGatedLinearAttention"],
    sizes: dims![B, T, D, HQ, H, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("g_proj.weight", dims![HQ, V, D], &[2, 1]),
        Port::weight("q_conv1d.weight", dims![HQ, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![HQ, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::weight("gk_proj.weight", dims![HQ, D], &[1, 1]),
        Port::new("gk_proj.bias", dims![HQ], Domain::Normal),
        Port::scale("g_norm_swish_gate.weight", dims![V]),
        Port::weight("o_proj.weight", dims![D, HQ, V], &[1, 2]),
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
        Attr::flag("use_short_conv", true, "convolve q, k and v"),
        Attr::word("gate_fn", &["swish", "sigmoid", "relu"], "the activation of the output gate"),
        Attr::word("feature_map", &["none", "relu", "swish", "sigmoid"], "on q and k"),
        Attr::number("gate_logit_normalizer", TEMPERATURE, 2.0, "divides the log decay"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        Constraint {
            label: "C2",
            text: "gate_logit_normalizer is not 0",
            holds: |p| p.number("gate_logit_normalizer").is_some_and(|x| x.abs() > 0.0),
            break_it: |p| _ = p.attrs.insert("gate_logit_normalizer", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("gate_logit_normalizer"),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(simple_gla_layer),
};
