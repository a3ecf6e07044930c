//! LightNet's attention with projections: each key channel holds an average of the values, weighted by the exponentials
//! of the keys.
//!
//! $$ q = \operatorname{swish}(W_q x), \qquad k, v = W_k x, W_v x, \qquad
//! o = \operatorname{LightNet}(q, k, v), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \operatorname{swish}(W_2 W_1 x) \big) $$
//!
//! The norm is over the channels of all heads together, and adds 1e-6. With `use_short_conv`, q, k and v pass a short
//! convolution without an activation before. An absent `z0` is minus infinity, as in [`ops::lightnet`]. Well
//! conditioned.
//!
//! # Errors
//! C1: D is HV. C2: an `h0` without `z0` would be an average of which nobody knows the weight.
//!
//! Paper: Qin et al., *You Only Scan Once: Efficient Multi-dimension Sequential Modeling with LightNet*, 2024, the
//! additive linear recurrence.
//! Upstream: `LightNetAttention` of `fla/layers/lightnet.py` in 0.6.0: `expand_ratio` is K, `num_heads` H,
//! `gate_low_rank_dim` E. `mode` and `layer_idx` do not change values, and neither does `norm_eps`; without affine
//! parameters the norm has no weight.

use ndarray::Ix3;

use crate::algebra::{bottleneck, linear, rank, swish};
use crate::call::Call;
use crate::mixer::{norm_of_all, shared_out, stream};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn lightnet_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    let mut answers = Call::of(&ops::lightnet::SPEC)
        .with("q", q.mapv(swish))
        .with("k", k)
        .with("v", v)
        .with("h0", x.cube("h0"))
        .with("z0", x.matrix("z0"))
        .run();
    let gate = bottleneck(&hidden, x.tensor("g_proj.0.weight"), x.tensor("g_proj.1.weight"));
    let o = norm_of_all(&answers.cube("o"), x.tensor("g_norm.weight"), EPS) * rank::<F, Ix3>(gate).mapv(swish);
    let states = [answers.take("ht"), answers.take("zt"), q_conv, k_conv, v_conv];
    std::iter::once(linear(&o, x.tensor("o_proj.weight"))).chain(states).collect()
}

const EPS: f64 = 1e-6;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "lightnet_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(lightnet(swish(q_proj x), k_proj x, v_proj x)) * swish(bottleneck x))",
    source: "Qin et al. 2024 (arXiv 2405.21022)",
    upstream: &["fla.layers.LightNetAttention"],
    sizes: dims![B, T, D, H, K, V, E, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("k_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("k_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("v_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("v_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::weight("g_proj.0.weight", dims![E, D], &[1, 1]),
        Port::weight("g_proj.1.weight", dims![H, V, E], &[2, 1]),
        Port::scale("g_norm.weight", dims![H, V]).merged(&[2]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("z0", dims![N, H, K], Domain::Normal).single().presence(Presence::OrMinusInfinity),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("k_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("v_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("zt", dims![N, H, K], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("k_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("v_convt", dims![N, H, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[Attr::flag("use_short_conv", false, "convolve q, k and v")],
    constraints: &[
        shared_out("C1"),
        Constraint {
            label: "C2",
            text: "h0 needs z0",
            holds: |p| !p.absent.contains("z0") || p.absent.contains("h0"),
            break_it: |p| {
                p.absent.insert("z0");
                p.absent.remove("h0");
            },
            mend: |p| _ = p.absent.insert("h0"),
        },
    ],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::elementwise("z0", "zt"),
        State::new("q_conv0", "q_convt"),
        State::new("k_conv0", "k_convt"),
        State::new("v_conv0", "v_convt"),
    ],
    function: function!(lightnet_layer),
};
