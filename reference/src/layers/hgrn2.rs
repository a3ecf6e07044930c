//! The hierarchically gated recurrent network with states of outer products: gated linear attention whose keys are what
//! its forget gates leave.
//!
//! $$ q = \operatorname{swish}(W_q x), \qquad z, i = W_f x, W_i x, \qquad f = l + (1 - l)\, \sigma(z), \qquad
//! y = W_o \operatorname{RMSNorm}\big( \operatorname{GLA}(q, 1 - f, i, \ln f) \big) $$
//!
//! with the lower bound $l$ = `lower_bound`, which a model gives to all layers but the first; absent means 0. The norm
//! is over the channels of all heads together. With `use_short_conv`, q, z and i pass a short convolution without an
//! activation before. Well conditioned: the state is an average in each row.
//!
//! # Errors
//! C1: D is HV.
//!
//! Paper: Qin et al., *HGRN2: Gated Linear RNNs with State Expansion*, 2024.
//! Upstream: `HGRN2Attention` of `fla/layers/hgrn2.py` in 0.6.0: `expand_ratio` is K, and `num_heads` is D/K rounded
//! down unless `expand_ratio` is None, where K is V. It ignores a lower bound where `layer_idx` is 0, and otherwise
//! that option, like `mode`, does not change values. `norm_eps` has no effect: the norm adds 1e-5. Without affine
//! parameters it has no weight.

use ndarray::Zip;

use crate::algebra::{linear, swish};
use crate::call::Call;
use crate::mixer::{forget, norm_of_all, shared_out, stream};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn hgrn2_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(q, q_conv), (mut g, f_conv), (i, i_conv)] = ["q", "f", "i"].map(|name| stream(x, hidden, name));
    let least = x.given("lower_bound").then(|| x.matrix("lower_bound"));
    let mut k = g.clone();
    Zip::indexed(&mut k).and(&mut g).for_each(|(_, h, c), k, g| [*g, *k] = forget(*g, least.map(|l| l[[h, c]])));
    let mut answers = Call::of(&ops::gla::SPEC)
        .with("q", q.mapv(swish))
        .with("k", k)
        .with("v", i)
        .with("g", g)
        .with("h0", x.cube("h0"))
        .run();
    let o = norm_of_all(&answers.cube("o"), x.tensor("g_norm.weight"), EPS);
    vec![linear(&o, x.tensor("o_proj.weight")), answers.take("ht"), q_conv, f_conv, i_conv]
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "hgrn2_layer",
    level: Level::Layer,
    summary: "f = l + (1 - l) sigmoid(f_proj x);  o = o_proj(rms_norm(gla(swish(q_proj x), 1 - f, i_proj x, log f)))",
    source: "Qin et al. 2024 (arXiv 2404.07904)",
    upstream: &["fla.layers.HGRN2Attention"],
    sizes: dims![B, T, D, H, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("lower_bound", dims![H, K], Domain::Fraction).merged(&[2]).presence(Presence::OrZero),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("f_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("i_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("q_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("q_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("f_conv1d.weight", dims![H, K, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("f_conv1d.bias", dims![H, K], &[2]).when("use_short_conv"),
        Port::weight("i_conv1d.weight", dims![H, V, W], &[2, 0, 1]).when("use_short_conv"),
        Port::bias("i_conv1d.bias", dims![H, V], &[2]).when("use_short_conv"),
        Port::scale("g_norm.weight", dims![H, V]).merged(&[2]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("q_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("f_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("i_conv0", dims![N, H, V, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("q_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("f_convt", dims![N, H, K, W], Domain::Normal).when("use_short_conv"),
        Port::new("i_convt", dims![N, H, V, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[Attr::flag("use_short_conv", false, "convolve q, z and i")],
    constraints: &[shared_out("C1")],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("q_conv0", "q_convt"),
        State::new("f_conv0", "f_convt"),
        State::new("i_conv0", "i_convt"),
    ],
    function: function!(hgrn2_layer),
};
