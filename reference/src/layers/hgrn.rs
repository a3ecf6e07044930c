//! The hierarchically gated recurrent network: every channel forgets by itself, and never faster than its lower bound.
//!
//! $$ i, z = W_i x, W_f x, \qquad f = l + (1 - l)\, \sigma(z), \qquad
//! h_t = f_t \odot h_{t-1} + (1 - f_t) \odot \operatorname{swish}(i_t), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(h) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! with the lower bound $l$ = `lower_bound`, which a model gives to all layers but the first; absent means 0. The norm
//! is over all I channels. With `use_short_conv`, i and z pass a short convolution without an activation. Well
//! conditioned: the state is an average.
//!
//! Paper: Qin et al., *Hierarchically Gated Recurrent Neural Network for Sequence Modeling*, 2023, with real instead of
//! complex states.
//! Upstream: `HGRNAttention` of `fla/layers/hgrn.py` in 0.6.0: `expand_ratio` is I/D. It ignores a lower bound where
//! `layer_idx` is 0, and otherwise that option, like `mode`, does not change values; without affine parameters the
//! norm has no weight. Packed sequences need `mode='fused_recurrent'`. Where padding is masked, it zeroes i but not z.

use ndarray::{Array2, ArrayD, Zip};

use crate::algebra::{heads, linear, matrix, rank, swish};
use crate::call::Call;
use crate::mixer::{convolve, forget};
use crate::modules::rms_norm_gated::gated;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn hgrn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [(mut i, i_conv), (mut g, f_conv)] = ["i", "f"].map(|name| channels(x, name));
    let least = x.given("lower_bound").then(|| x.vector("lower_bound"));
    Zip::indexed(&mut i).and(&mut g).for_each(|(_, c), i, g| {
        let [log, rest] = forget(*g, least.map(|l| l[c]));
        (*i, *g) = (swish(*i) * rest, log);
    });
    let mut answers = Call::of(&ops::hgrn::SPEC).with("x", i).with("g", g).with("h0", x.vector("h0")).run();
    let gate: Array2<F> = rank(linear(&hidden, x.tensor("g_proj.weight")));
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let o = gated(&answers.matrix("o"), &gate, Some(x.tensor("g_norm.weight")), eps, swish);
    vec![linear(&o, x.tensor("o_proj.weight")), answers.take("ht"), i_conv, f_conv]
}

/// One stream `[T, I]`, and the state of its convolution.
fn channels<F: Real>(x: &Unit<'_, F>, name: &str) -> (Array2<F>, ArrayD<F>) {
    let projected: Array2<F> = rank(linear(&x.matrix("x"), x.tensor(&format!("{name}_proj.weight"))));
    let state = x.tensor(&format!("{name}_conv0")).to_owned();
    if !x.problem.flag("use_short_conv") {
        return (projected, state);
    }
    let (y, state) = convolve(x, &heads(&projected, 1), &format!("{name}_conv1d"), state);
    (matrix(&y, projected.nrows(), projected.ncols()), state)
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "hgrn_layer",
    level: Level::Layer,
    summary: "f = l + (1 - l) sigmoid(f_proj x);  h = f h + (1 - f) swish(i_proj x);  o = o_proj(rms_norm(h) * gate)",
    source: "Qin et al. 2023 (arXiv 2311.04823)",
    upstream: &["fla.layers.HGRNAttention"],
    sizes: dims![B, T, D, I, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("lower_bound", dims![I], Domain::Fraction).presence(Presence::OrZero),
        Port::weight("i_proj.weight", dims![I, D], &[1, 1]),
        Port::weight("f_proj.weight", dims![I, D], &[1, 1]),
        Port::weight("g_proj.weight", dims![I, D], &[1, 1]),
        Port::weight("f_conv1d.weight", dims![I, W], &[1, 0, 1]).when("use_short_conv"),
        Port::bias("f_conv1d.bias", dims![I], &[1]).when("use_short_conv"),
        Port::weight("i_conv1d.weight", dims![I, W], &[1, 0, 1]).when("use_short_conv"),
        Port::bias("i_conv1d.bias", dims![I], &[1]).when("use_short_conv"),
        Port::scale("g_norm.weight", dims![I]),
        Port::weight("o_proj.weight", dims![D, I], &[1, 1]),
        Port::new("h0", dims![N, I], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("i_conv0", dims![N, I, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
        Port::new("f_conv0", dims![N, I, W], Domain::Normal).presence(Presence::OrZero).when("use_short_conv"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, I], Domain::Normal).single(),
        Port::new("i_convt", dims![N, I, W], Domain::Normal).when("use_short_conv"),
        Port::new("f_convt", dims![N, I, W], Domain::Normal).when("use_short_conv"),
    ],
    attrs: &[
        Attr::flag("use_short_conv", false, "convolve i and z"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[],
    independent: dims![B],
    states: &[State::new("h0", "ht"), State::new("i_conv0", "i_convt"), State::new("f_conv0", "f_convt")],
    function: function!(hgrn_layer),
};
