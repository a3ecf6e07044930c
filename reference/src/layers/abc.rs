//! Attention with bounded memory, with projections: softmax attention over slots, each an average of keys and values.
//!
//! $$ q, k, v = W_q x, W_k x, W_v x, \qquad s = \operatorname{clamp}(W_s x), \qquad
//! o = \operatorname{ABC}(R_t q, R_t k, v, s), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! per head, with $R_t$ the rotation of [`rotary`](crate::modules::rotary) at position $t$ (`use_rope`), s between
//! `clamp_min` and `clamp_max`, without the norm or the gate where `use_norm` or `use_output_gate` is false. With
//! `use_short_conv`, q, k and v pass a short convolution and swish, with `use_input_gate` swish once more. Well
//! conditioned.
//!
//! With `use_rope` the states of the keys are seen from the next token: `hk0` from the first one, at position 0, and
//! `hkt` from the one after the last. An absent `z0` is minus infinity, as in [`ops::abc`].
//!
//! # Errors
//! C1: K is even. C2: an `hk0` or `hv0` without `z0` would be an average of which nobody knows the weight. C3:
//! `clamp_min` is not above `clamp_max`.
//!
//! Paper: Peng et al., *ABC: Attention with Bounded-memory Control*, 2021, the causal form in the paper.
//! Upstream: `ABCAttention` of `fla/layers/abc.py` in 0.6.0: `expand_k` is HK/D, `expand_v` HV/D, `num_slots` M. K may
//! be odd there without `use_rope`. It has no packed sequences, and its cache lacks z, so that it cannot be resumed.
//! `layer_idx`, `gate_low_rank_dim` and `gate_logit_normalizer` do not change values; without affine parameters the
//! norm has no weight.

use ndarray::Array3;

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{pairs, project, stream, turn};
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::{BASE, rotate};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn abc_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let act = |y: F| if x.problem.flag("use_short_conv") { swish(y) } else { y };
    let gate = |y: F| if x.problem.flag("use_input_gate") { swish(y) } else { y };
    let streams = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = streams.map(|(y, state)| (y.mapv(act).mapv(gate), state));
    let rope = x.problem.flag("use_rope");
    let [q, k] = [q, k].map(|y| if rope { rotate(&y, BASE, 0.0, false) } else { y });
    let mut answers = Call::of(&ops::abc::SPEC)
        .with("q", q)
        .with("k", k)
        .with("v", v)
        .with("s", logits(x))
        .with("hk0", x.cube("hk0"))
        .with("hv0", x.cube("hv0"))
        .with("z0", x.matrix("z0"))
        .run();
    let mut o = answers.cube("o");
    if x.problem.flag("use_norm") {
        o = normalise(&o, Some(x.tensor("g_norm.weight")), x.problem.number("norm_eps").unwrap_or(EPS));
    }
    if x.problem.flag("use_output_gate") {
        o = o * project(x, hidden, "g_proj.weight").mapv(swish);
    }
    let hkt = answers.cube("hkt");
    let hkt = if rope { turn(&hkt, -(x.tokens as f64), BASE, false) } else { hkt };
    let states = [hkt.into_dyn(), answers.take("hvt"), answers.take("zt"), q_conv, k_conv, v_conv];
    std::iter::once(linear(&o, x.tensor("o_proj.weight"))).chain(states).collect()
}

/// What a token writes into the slots, as logits: `[T, H, M]`.
fn logits<F: Real>(x: &Unit<'_, F>) -> Array3<F> {
    let [least, most] = ["clamp_min", "clamp_max"].map(|name| x.problem.number(name).expect("a number with a default"));
    project(x, x.matrix("x"), "s_proj.weight").mapv(|s| match s.value() {
        value if value < least => F::from_f64(least),
        value if value > most => F::from_f64(most),
        _ => s,
    })
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "abc_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(abc(rotary q, rotary k, v, clamp(s_proj x))) * swish(g_proj x))",
    source: "Peng et al. 2021 (arXiv 2110.02488)",
    upstream: &["fla.layers.ABCAttention"],
    sizes: dims![B, T, D, H, K, V, M, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("g_proj.weight", dims![H, V, D], &[2, 1]).when("use_output_gate"),
        Port::weight("s_proj.weight", dims![H, M, D], &[2, 1]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::scale("g_norm.weight", dims![V]).when("use_norm"),
        Port::new("hk0", dims![N, H, K, M], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hv0", dims![N, H, M, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("z0", dims![N, H, M], Domain::Normal).single().presence(Presence::OrMinusInfinity),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("hkt", dims![N, H, K, M], Domain::Normal).single(),
        Port::new("hvt", dims![N, H, M, V], Domain::Normal).single(),
        Port::new("zt", dims![N, H, M], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, H, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_short_conv", false, "convolve q, k and v"),
        Attr::flag("use_rope", true, "turn q and k with their position"),
        Attr::flag("use_input_gate", false, "swish on q, k and v"),
        Attr::flag("use_output_gate", true, "gate the outputs of the heads"),
        Attr::flag("use_norm", true, "norm the outputs of the heads"),
        Attr::number("clamp_min", -32.0, -0.5, "least logit of a slot"),
        Attr::number("clamp_max", 32.0, 0.5, "largest logit of a slot"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[
        pairs("C1"),
        Constraint {
            label: "C2",
            text: "hk0 and hv0 need z0",
            holds: |p| !p.absent.contains("z0") || (p.absent.contains("hk0") && p.absent.contains("hv0")),
            break_it: |p| {
                p.absent.insert("z0");
                p.absent.remove("hk0");
            },
            mend: |p| p.absent.extend(["hk0", "hv0"]),
        },
        Constraint {
            label: "C3",
            text: "clamp_min is not above clamp_max",
            holds: |p| p.number("clamp_min").zip(p.number("clamp_max")).is_some_and(|(least, most)| least <= most),
            break_it: |p| _ = p.attrs.insert("clamp_min", Value::Number(33.0)),
            mend: |p| p.attrs.retain(|name, _| !name.starts_with("clamp")),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("hk0", "hkt"),
        State::new("hv0", "hvt"),
        State::elementwise("z0", "zt"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(abc_layer),
};
