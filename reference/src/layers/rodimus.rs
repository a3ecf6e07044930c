//! Rodimus: gated linear attention of one head on a widened stream, whose write and decay come from one gate that a
//! temperature splits.
//!
//! $$ u = W_{up} x, \quad s = \operatorname{swish}(\operatorname{conv} u), \quad \gamma = \operatorname{softplus}(W_g s +
//! b_g), \quad \tau = \sigma(W_\tau s + b_\tau), \quad v = \sigma(W_2 W_1 u + b) \odot u $$
//! $$ k = \frac{W_k s}{\max(\lVert W_k s \rVert, \epsilon)} \odot \gamma^\tau, \qquad
//! y = \operatorname{GLA}(W_q s, k, v, -\gamma \odot \tau) + w \odot s, \qquad
//! o = W_{down} \operatorname{RMSNorm}(y \odot \operatorname{swish}(W_{gate} x)) $$
//!
//! with ε = `k_norm_eps`, w = `residual_weight`. Without `use_short_conv`, s is u. Keys and queries have width K,
//! values all I channels. The slope of γ^τ is τ γ^(τ−1), large where γ and τ are small.
//!
//! # Errors
//! C1: I is 2·D, rounded up to a multiple of 8. C2: `k_norm_eps` is not negative.
//!
//! Paper: He et al., *Rodimus: Breaking the Accuracy-Efficiency Trade-Off with Efficient Attentions*, 2024.
//! Upstream: `RodimusAttention` of `fla/layers/rodimus.py` in 0.6.0: `expand_ratio` is K, `input_gate_low_rank` E, the
//! presence of `short_conv.bias` `conv_bias`. `block_type` says only who keeps the states. `mode`, `residual_in_fp32`
//! and `layer_idx` do not change values.

use ndarray::{Array1, Array2, ArrayD, Axis};

use crate::algebra::{affine, linear, rank, swish};
use crate::call::Call;
use crate::layers::mamba::convolved;
use crate::modules::rms_norm::normalise;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rodimus_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let weighed = |y: &Array2<F>, name: &str| -> Array2<F> { rank(linear(y, x.tensor(&format!("{name}.weight")))) };
    let biased = |y: &Array2<F>, name: &str| -> Array2<F> {
        let [weight, bias] = ["weight", "bias"].map(|part| x.tensor(&format!("{name}.{part}")));
        rank(affine(y, weight, bias))
    };
    let hidden = x.matrix("x").to_owned();
    let u = weighed(&hidden, "up_proj");
    let (s, convt) = shifted(x, &u);
    let v = &u * &biased(&weighed(&u, "i_gate_proj.0"), "i_gate_proj.1").mapv(F::sigmoid);
    let gamma = biased(&s, "g_gate_proj").mapv(F::softplus);
    let tau = biased(&s, "tau_gate_proj").mapv(F::sigmoid);
    let written = (&tau * &gamma.mapv(F::ln)).mapv(F::exp);
    let k = unit(weighed(&s, "k_proj"), x.problem.number("k_norm_eps").unwrap_or(K_EPS)) * written;
    let mut answers = Call::of(&ops::gla::SPEC)
        .with("q", weighed(&s, "q_proj").insert_axis(Axis(1)))
        .with("k", k.insert_axis(Axis(1)))
        .with("v", v.insert_axis(Axis(1)))
        .with("g", (gamma * tau).mapv(|g| -g).insert_axis(Axis(1)))
        .with("h0", x.matrix("h0").insert_axis(Axis(0)))
        .run();
    let y = answers.cube("o").index_axis_move(Axis(1), 0) + s * x.vector("residual_weight");
    let gated = y * weighed(&hidden, "gate_proj").mapv(swish);
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let o = weighed(&normalise(&gated, Some(x.tensor("activation_norm.weight")), eps), "down_proj");
    let ht = answers.cube("ht").index_axis_move(Axis(0), 0);
    vec![o.into_dyn(), ht.into_dyn(), convt]
}

/// The stream after its convolution, where there is one, and the state after it.
fn shifted<F: Real>(x: &Unit<'_, F>, u: &Array2<F>) -> (Array2<F>, ArrayD<F>) {
    if x.problem.flag("use_short_conv") {
        let (s, convt) = convolved(x, u.clone(), "short_conv", "conv0");
        (s.mapv(swish), convt)
    } else {
        (u.clone(), x.tensor("conv0").to_owned())
    }
}

/// Over its length, or over `least` if that is more.
fn unit<F: Real>(mut k: Array2<F>, least: f64) -> Array2<F> {
    for mut key in k.rows_mut() {
        let squares: Array1<F> = key.mapv(|x| x * x);
        let sum: F = squares.into_iter().sum();
        let length = if sum.value() < least * least { F::from_f64(least) } else { sum.sqrt() };
        key.mapv_inplace(|x| x / length);
    }
    k
}

const EPS: f64 = 1e-5;
const K_EPS: f64 = 1e-12;

fn inner(model: usize) -> usize {
    (2 * model).next_multiple_of(8)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rodimus_layer",
    level: Level::Layer,
    summary: "down_proj(rms_norm((gla(q, k γ^τ, σ(bottleneck u) u, −γ τ) + w s) * swish(gate x))), s = swish(conv u)",
    source: "He et al. 2024 (arXiv 2410.06577)",
    upstream: &["fla.layers.RodimusAttention"],
    sizes: dims![B, T, D, I, K, E, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("residual_weight", dims![I], Domain::Normal),
        Port::weight("gate_proj.weight", dims![I, D], &[1, 1]),
        Port::weight("up_proj.weight", dims![I, D], &[1, 1]),
        Port::scale("activation_norm.weight", dims![I]),
        Port::weight("down_proj.weight", dims![D, I], &[1, 1]),
        Port::weight("short_conv.weight", dims![I, W], &[1, 0, 1]).when("use_short_conv"),
        Port::bias("short_conv.bias", dims![I], &[1]).when("use_short_conv"),
        Port::weight("k_proj.weight", dims![K, I], &[1, 1]),
        Port::weight("q_proj.weight", dims![K, I], &[1, 1]),
        Port::weight("g_gate_proj.weight", dims![K, I], &[1, 1]),
        Port::new("g_gate_proj.bias", dims![K], Domain::Normal),
        Port::weight("tau_gate_proj.weight", dims![K, I], &[1, 1]),
        Port::new("tau_gate_proj.bias", dims![K], Domain::Normal),
        Port::weight("i_gate_proj.0.weight", dims![E, I], &[1, 1]),
        Port::weight("i_gate_proj.1.weight", dims![I, E], &[1, 1]),
        Port::new("i_gate_proj.1.bias", dims![I], Domain::Normal),
        Port::new("h0", dims![N, K, I], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("conv0", dims![N, I, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, K, I], Domain::Normal).single(),
        Port::new("convt", dims![N, I, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_short_conv", true, "convolve the widened stream"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
        Attr::number("k_norm_eps", K_EPS, 2.0, "least length of a key"),
    ],
    constraints: &[
        Constraint {
            label: "C1",
            text: "I is 2·D, rounded up to a multiple of 8",
            holds: |p| p.size(Dim::I) == inner(p.size(Dim::D)),
            break_it: |p| _ = p.sizes.insert(Dim::I, inner(p.size(Dim::D)) + 1),
            mend: |p| _ = p.sizes.insert(Dim::I, inner(p.size(Dim::D))),
        },
        Constraint {
            label: "C2",
            text: "k_norm_eps is not negative",
            holds: |p| p.number("k_norm_eps").is_some_and(|eps| eps >= 0.0),
            break_it: |p| _ = p.attrs.insert("k_norm_eps", Value::Number(-1.0)),
            mend: |p| _ = p.attrs.remove("k_norm_eps"),
        },
    ],
    independent: dims![B],
    states: &[State::new("h0", "ht"), State::new("conv0", "convt")],
    function: function!(rodimus_layer),
};
