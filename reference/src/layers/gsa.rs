//! Gated slot attention with projections: every token writes into each slot what the slot's gate lets go.
//!
//! $$ q, k = \phi(W_q x), \phi(W_k x), \qquad v = \operatorname{swish}(W_v x), \qquad
//! g = \tfrac{1}{\tau} \ln \sigma(W_f x), \qquad
//! y = W_o \operatorname{RMSNorm}\big( \operatorname{swish}(\operatorname{GSA}(q, k, v, 1 - e^g, g)) \big) $$
//!
//! with τ = `gate_logit_normalizer`, φ = `feature_map`, or with `t2r` $\operatorname{relu}(W y)$. The softmax over the
//! slots has the factor `scale`; the norm is over the channels of all heads together, and adds 1e-5. With
//! `use_short_conv`, q, k and v pass a short convolution and swish before. A key head serves HQ/H query heads, each
//! with slots of its own. Well conditioned.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: D is HQ·V. C3: `gate_logit_normalizer` is not 0.
//!
//! Paper: Zhang et al., *Gated Slot Attention for Efficient Linear-Time Sequence Modeling*, 2024.
//! Upstream: `GatedSlotAttention` of `fla/layers/gsa.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H, `expand_k` is
//! HQ·K/D, `num_slots` M, a `scale` of None is K^-1/2, and `t2r` is a word of `feature_map`. `mode`, `layer_idx`,
//! `norm_eps`, `use_norm` and `use_output_gate` do not change values; without affine parameters the norm has no
//! weight. An `expand_v` other than 1 is accepted, but cannot be run.

use crate::algebra::{linear, log_sigmoid, swish};
use crate::call::Call;
use crate::mixer::{features, norm_of_all, project, repeat, stream};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn gsa_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let act = if x.problem.flag("use_short_conv") { swish } else { |y| y };
    let streams = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = streams.map(|(y, state)| (y.mapv(act), state));
    let temperature = F::from_f64(x.problem.number("gate_logit_normalizer").unwrap_or(TEMPERATURE));
    let g = project(x, hidden, "f_proj.weight").mapv(|z| log_sigmoid(z) / temperature);
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::gsa::SPEC)
        .with("q", features(x, &q))
        .with("k", repeat(&features(x, &k), each))
        .with("v", repeat(&v.mapv(swish), each))
        .with("s", repeat(&g.mapv(|g| F::one() - g.exp()), each))
        .with("g", repeat(&g, each))
        .with("hk0", x.cube("hk0"))
        .with("hv0", x.cube("hv0"))
        .number("scale", x.problem.number("scale").unwrap_or(1.0))
        .run();
    let o = norm_of_all(&answers.cube("o").mapv(swish), x.tensor("g_norm.weight"), EPS);
    let states = [answers.take("hkt"), answers.take("hvt"), q_conv, k_conv, v_conv];
    std::iter::once(linear(&o, x.tensor("o_proj.weight"))).chain(states).collect()
}

const EPS: f64 = 1e-5;
const TEMPERATURE: f64 = 8.0;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "gsa_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(swish(gsa(phi(q_proj x), phi(k_proj x), swish(v_proj x), 1 - exp(g), g))))",
    source: "Zhang et al. 2024 (arXiv 2409.07146)",
    upstream: &["fla.layers.GatedSlotAttention"],
    sizes: dims![B, T, D, HQ, H, K, V, M, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::weight("feature_map.layer.weight", dims![K, K], &[1, 1]).when("t2r"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("f_proj.weight", dims![H, M, D], &[2, 1]),
        Port::weight("q_conv1d.weight", dims![HQ, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![HQ, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::scale("g_norm.weight", dims![HQ, V]).merged(&[2]),
        Port::weight("o_proj.weight", dims![D, HQ, V], &[1, 2]),
        Port::new("hk0", dims![N, HQ, K, M], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hv0", dims![N, HQ, M, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, HQ, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("hkt", dims![N, HQ, K, M], Domain::Normal).single(),
        Port::new("hvt", dims![N, HQ, M, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, HQ, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, H, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_short_conv", false, "convolve q, k and v"),
        Attr::word("feature_map", &["swish", "relu"], "on q and k"),
        Attr::flag("t2r", false, "a learned feature map instead"),
        Attr::number("gate_logit_normalizer", TEMPERATURE, 2.0, "divides the log decay"),
        Attr::number("scale", 1.0, 0.375, "factor on q before the softmax over the slots"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        Constraint {
            label: "C2",
            text: "D is HQ·V",
            holds: |p| p.size(Dim::D) == p.size(Dim::HQ).saturating_mul(p.size(Dim::V)),
            break_it: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::HQ) * p.size(Dim::V) + 1),
            mend: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::HQ).saturating_mul(p.size(Dim::V))),
        },
        Constraint {
            label: "C3",
            text: "gate_logit_normalizer is not 0",
            holds: |p| p.number("gate_logit_normalizer").is_some_and(|x| x.abs() > 0.0),
            break_it: |p| _ = p.attrs.insert("gate_logit_normalizer", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("gate_logit_normalizer"),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("hk0", "hkt"),
        State::new("hv0", "hvt"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(gsa_layer),
};
