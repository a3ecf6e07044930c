//! Gated linear attention with projections: the log decay of each key channel comes through a bottleneck.
//!
//! $$ q, k, v = W_q x, W_k x, W_v x, \qquad g = \tfrac{1}{\tau} \ln \sigma(W_2 W_1 x + b), \qquad
//! o = \operatorname{GLA}(q, k, v, g), \qquad y = W_o \big( \operatorname{RMSNorm}(o) \odot \phi(W_g x) \big) $$
//!
//! per head, with τ = `gate_logit_normalizer`, g not below `clamp_min`, φ = `gate_fn`. With `use_short_conv`, q, k and v
//! pass a short convolution and swish; `feature_map` acts on q and k after that. A key head serves HQ/H query heads.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: `gate_logit_normalizer` is not 0.
//!
//! Paper: Yang et al., *Gated Linear Attention Transformers with Hardware-Efficient Training*, 2024, §4.4.
//! Upstream: `GatedLinearAttention` of `fla/layers/gla.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H, `expand_k` is
//! HQ·K/D, `expand_v` HQ·V/D. `mode`, `fuse_norm` and `layer_idx` do not change values; without affine parameters the norm
//! has no weight, and its weight is named `g_norm_swish_gate` only with a fused swish gate.

use ndarray::{Array2, Array3};

use crate::algebra::{affine, linear, log_sigmoid, rank, swish};
use crate::call::Call;
use crate::mixer::{activation, project, repeat, stream};
use crate::modules::rms_norm::normalise;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gla_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    let act = if x.problem.flag("use_short_conv") { swish } else { |y| y };
    let feature = activation::<F>(x.problem.word("feature_map"));
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::gla::SPEC)
        .with("q", q.mapv(act).mapv(feature))
        .with("k", repeat(&k.mapv(act).mapv(feature), each))
        .with("v", repeat(&v.mapv(act), each))
        .with("g", repeat(&log_decay(x), each))
        .with("h0", x.cube("h0"))
        .run();
    let mut o = normalise(&answers.cube("o"), None, x.problem.number("norm_eps").unwrap_or(EPS));
    o = o * x.vector(if x.problem.flag("use_output_gate") { "g_norm_swish_gate.weight" } else { "g_norm.weight" });
    if x.problem.flag("use_output_gate") {
        o = o * project(x, hidden, "g_proj.weight").mapv(activation(x.problem.word("gate_fn")));
    }
    vec![linear(&o, x.tensor("o_proj.weight")), answers.take("ht"), q_conv, k_conv, v_conv]
}

/// `[T, H, K]`.
fn log_decay<F: Real>(x: &Unit<'_, F>) -> Array3<F> {
    let inner: Array2<F> = rank(linear(&x.matrix("x"), x.tensor("gk_proj.0.weight")));
    let logits: Array3<F> = rank(affine(&inner, x.tensor("gk_proj.1.weight"), x.tensor("gk_proj.1.bias")));
    let temperature = F::from_f64(x.problem.number("gate_logit_normalizer").unwrap_or(TEMPERATURE));
    let least = x.problem.number("clamp_min").unwrap_or(f64::NEG_INFINITY);
    logits.mapv(|z| {
        let g = log_sigmoid(z) / temperature;
        if g.value() < least { F::from_f64(least) } else { g }
    })
}

const EPS: f64 = 1e-5;
const TEMPERATURE: f64 = 16.0;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gla_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(gla(q, k, v, log sigmoid(bottleneck x) / 16)) * swish(g_proj x))",
    source: "Yang et al. 2024 (arXiv 2312.06635), §4.4",
    upstream: &["fla.layers.GatedLinearAttention"],
    sizes: dims![B, T, D, HQ, H, K, V, E, W],
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
        Port::weight("gk_proj.0.weight", dims![E, D], &[1, 1]),
        Port::weight("gk_proj.1.weight", dims![H, K, E], &[2, 1]),
        Port::new("gk_proj.1.bias", dims![H, K], Domain::Normal).merged(&[2]),
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
        Attr::number("gate_logit_normalizer", TEMPERATURE, 2.0, "divides the log decay"),
        Attr::auto("clamp_min", -0.05, "least log decay"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        Constraint {
            label: "C2",
            text: "gate_logit_normalizer is not 0",
            holds: |p| p.number("gate_logit_normalizer").is_none_or(|x| x.abs() > 0.0),
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
    function: function!(gla_layer),
};
