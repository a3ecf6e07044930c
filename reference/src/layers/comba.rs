//! Comba with projections: the delta rule that reads before it decays, with feedback from the key to the query.
//!
//! $$ q', k, v = \operatorname{swish}(\operatorname{conv}(W x)), \qquad p = \sigma(\delta)\, k, \qquad q = q' - D p $$
//! $$ g = -e^{A} \ln(1 + e^{W_a x + b}), \quad \beta = \sigma(W_b x), \quad
//! o = \operatorname{Comba}(\hat q, \hat k, v, \hat p, g, \beta), \quad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \sigma(W_g x) \big) $$
//!
//! with δ = `decay` and $D$ of the key head, $A$ = `A_log` and $b$ = `dt_bias` of the value head, and the hats for
//! unit length. A key head serves HV/H value heads. Without `use_inner_decay` p is k, without `use_output_correction`
//! q is q′.
//!
//! Because p is normalised, the inner decay leaves the reading but for the ε of the norm, and acts through $q' - D
//! p$; with no output correction the gradient of `decay` is nothing but that ε. The recurrence contracts; where $q'$
//! is close to $D p$, their difference loses figures and is made of unit length again.
//!
//! # Errors
//! C1: HV is a multiple of H.
//!
//! Paper: Hu et al., *Comba: Improving Bilinear RNNs with Closed-loop Control*, 2025.
//! Upstream: `Comba` of `fla/layers/comba.py` in 0.6.0: `num_heads` is H, `num_v_heads` HV, `head_dim` K, `expand_v`
//! V/K; `correction_factor` is where `D` starts. With `mode` and `layer_idx` it does not change values; absent biases
//! of the convolutions are `conv_bias=False`.

use ndarray::{Array1, Array3};

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{NORM_EPS, head_decay, output_gate, qkv, read_out};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn comba_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let ([mut q, k, v], [q_conv, k_conv, v_conv]) = qkv(x, hidden, swish);
    let one = Array1::from_elem(x.problem.size(Dim::H), F::one());
    let share = if x.problem.flag("use_inner_decay") { x.vector("decay").mapv(F::sigmoid) } else { one.clone() };
    if x.problem.flag("use_output_correction") {
        let factors = &share * &x.vector("D");
        q.indexed_iter_mut().for_each(|((t, h, i), q)| *q = *q - factors[h] * k[[t, h, i]]);
    }
    let mut answers = Call::of(&ops::comba::SPEC)
        .with("q", unit_share(&q, &one))
        .with("k", unit_share(&k, &one))
        .with("v", v)
        .with("p", unit_share(&k, &share))
        .with("g", head_decay(x, hidden, ["a_proj.weight", "A_log", "dt_bias"]))
        .with("beta", linear(&hidden, x.tensor("b_proj.weight")).mapv(F::sigmoid))
        .with("h0", x.cube("h0"))
        .run();
    let gate = x.problem.flag("use_output_gate").then(|| output_gate(x, hidden, F::sigmoid));
    let o = read_out(x, &answers.cube("o"), gate);
    vec![o, answers.take("ht"), q_conv, k_conv, v_conv]
}

/// `s x / √(Σ (s x)² + ε)` for the share `s` of each head, with `s` beside ε: what it does is not lost beside the norm.
fn unit_share<F: Real>(keys: &Array3<F>, share: &Array1<F>) -> Array3<F> {
    let mut keys = keys.clone();
    for mut token in keys.outer_iter_mut() {
        for (mut key, &s) in token.outer_iter_mut().zip(share) {
            let root = (key.iter().map(|&k| k * k).sum::<F>() + F::from_f64(L2_EPSILON) / (s * s)).sqrt();
            key.mapv_inplace(|k| k / root);
        }
    }
    keys
}

/// What upstream adds to the sum of squares before the root.
const L2_EPSILON: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "comba_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(comba(q − D p, k, v, p = σ(decay) k, ...)) * σ(g_proj x))",
    source: "Hu et al. 2025 (arXiv 2506.02475)",
    upstream: &["fla.layers.Comba"],
    sizes: dims![B, T, D, H, HV, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("decay", dims![H], Domain::Normal).when("use_inner_decay"),
        Port::new("D", dims![H], Domain::Uniform(0.25, 1.25)).when("use_output_correction"),
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
        Port::weight("g_proj.weight", dims![HV, V, D], &[2, 1]).when("use_output_gate"),
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
        Attr::flag("use_output_gate", true, "gate the normed outputs"),
        Attr::flag("use_output_correction", true, "take D p from the query"),
        Attr::flag("use_inner_decay", true, "p is a fraction of k"),
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
    function: function!(comba_layer),
};
