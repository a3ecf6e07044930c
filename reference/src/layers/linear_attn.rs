//! Linear attention with projections, a feature map on queries and keys, and a norm of each head.
//!
//! $$ q, k, v = W_q x, W_k x, W_v x, \qquad o_t = C^{-1/2} \sum_{j \le t} (\phi(q_t) \cdot \phi(k_j))\, v_j, \qquad
//! y = W_o \operatorname{RMSNorm}(o) $$
//!
//! per head, with C the channels of φ. By default φ is $(W_1 y + b_1) \odot (W_2 y + b_2)$ (`elementwise_product`).
//! Without that, it is what `feature_map` says, after $W y + b$ with `layer`: nothing, $1 + \operatorname{elu}$, relu,
//! `dpfp`, which is the products of $r = (\operatorname{relu}(y), \operatorname{relu}(-y))$ with itself rolled by 1,
//! 2, 3 and 4 channels, or `hedgehog`, the softmax of $2y$ and $-2y$ side by side. Then `norm_q` and `norm_k` divide
//! each φ by its sum and 1e-4, and `do_feature_map_norm` divides o by $\phi(q) \cdot \sum \phi(k)$ as
//! [`ops::normalized_linear_attn`] does. A key head serves HQ/H query heads.
//!
//! Well conditioned but for those divisions: of signed features the sum may vanish.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: `elementwise_product` leaves no room for `layer` or another `feature_map`. C3: C is
//! 2K with `hedgehog`, 8K with `dpfp`, else K.
//!
//! Paper: Katharopoulos et al., *Transformers are RNNs*, 2020, eq. 18 to 20; Zhang et al., *The Hedgehog & the
//! Porcupine*, 2024; Kasai et al., *Finetuning Pretrained Transformers into RNNs*, 2021; Schlag et al., *Linear
//! Transformers Are Secretly Fast Weight Programmers*, 2021.
//! Upstream: `LinearAttention` of `fla/layers/linear_attn.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H,
//! `expand_k` is HQ·K/D, `expand_v` HQ·V/D. There `elementwise_product`, `hedgehog` (with `layer` and its bias) and
//! `t2r` (with `layer` without a bias, and relu) are words of `feature_map`; `output_norm` is `rmsnorm` or `identity`,
//! and z0 and zt are `[N, 1, HQ, C]`. With `tie_feature_map_qk` the weights of both maps are the same. `mode` and
//! `layer_idx` do not change values; without affine parameters the norm has no weight.

use ndarray::{Array3, ArrayD, Axis};

use crate::algebra::{linear, plus};
use crate::call::Call;
use crate::mixer::{activation, of_heads, project, repeat, within};
use crate::modules::rms_norm::normalise;
use crate::modules::{feature_map_dpfp, feature_map_hadamard, feature_map_hedgehog};
use crate::ops;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn linear_attn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [q, k, v] = ["q", "k", "v"].map(|name| project(x, x.matrix("x"), &format!("{name}_proj.weight")));
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let normalized = x.problem.flag("do_feature_map_norm");
    let op = if normalized { &ops::normalized_linear_attn::SPEC } else { &ops::linear_attn::SPEC };
    let mut call = Call::of(op)
        .with("q", features(x, &q, "q"))
        .with("k", repeat(&features(x, &k, "k"), each))
        .with("v", repeat(&v, each))
        .with("h0", x.cube("h0"));
    if normalized {
        call = call.with("z0", x.matrix("z0"));
    }
    let mut answers = call.run();
    let mut o = answers.cube("o");
    if x.problem.flag("output_norm") {
        o = normalise(&o, Some(x.tensor("norm.weight")), x.problem.number("norm_eps").unwrap_or(EPS));
    }
    let zt = if normalized { answers.take("zt") } else { ArrayD::from_elem(vec![0], F::zero()) };
    vec![linear(&o, x.tensor("o_proj.weight")), answers.take("ht"), zt]
}

/// `[T, H, C]` of `[T, H, K]`.
fn features<F: Real>(x: &Unit<'_, F>, y: &Array3<F>, name: &str) -> Array3<F> {
    let weight = |layer: &str| x.tensor(&format!("feature_map_{name}.{layer}"));
    let affine = |layer: &str| (weight(&format!("{layer}.weight")), weight(&format!("{layer}.bias")));
    let y = if x.problem.flag("elementwise_product") {
        of_heads(y, |y| feature_map_hadamard::features(y, ["layer1", "layer2"].map(affine)))
    } else if x.problem.flag("layer") {
        let (weight, bias) = affine("layer");
        plus(within(y, weight), bias)
    } else {
        y.clone()
    };
    let mut phi = match x.problem.word("feature_map") {
        "hedgehog" => of_heads(&y, feature_map_hedgehog::halves),
        "dpfp" => of_heads(&y, |y| feature_map_dpfp::features(y.view(), ROLLS)),
        word => y.mapv(activation(word)),
    };
    if x.problem.flag(&format!("norm_{name}")) {
        for mut lane in phi.lanes_mut(Axis(2)) {
            let total = lane.iter().copied().sum::<F>() + F::from_f64(LEAST);
            lane.mapv_inplace(|y| y / total);
        }
    }
    phi
}

const EPS: f64 = 1e-5;
/// What upstream adds to the sum of the features.
const LEAST: f64 = 1e-4;
const ROLLS: usize = 4;

/// Channels of φ.
fn channels(p: &Problem) -> usize {
    let each = match p.word("feature_map") {
        "hedgehog" => 2,
        "dpfp" => 2 * ROLLS,
        _ => 1,
    };
    p.size(Dim::K).saturating_mul(each)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "linear_attn_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(linear_attn(phi(q_proj x), phi(k_proj x), v_proj x)))",
    source: "Katharopoulos et al. 2020 (arXiv 2006.16236), eq. 18 to 20",
    upstream: &["fla.layers.LinearAttention"],
    sizes: dims![B, T, D, HQ, H, K, V, C],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("feature_map_q.layer1.weight", dims![K, K], &[1, 1]).when("elementwise_product"),
        Port::new("feature_map_q.layer1.bias", dims![K], Domain::Normal).when("elementwise_product"),
        Port::weight("feature_map_q.layer2.weight", dims![K, K], &[1, 1]).when("elementwise_product"),
        Port::new("feature_map_q.layer2.bias", dims![K], Domain::Normal).when("elementwise_product"),
        Port::weight("feature_map_k.layer1.weight", dims![K, K], &[1, 1]).when("elementwise_product"),
        Port::new("feature_map_k.layer1.bias", dims![K], Domain::Normal).when("elementwise_product"),
        Port::weight("feature_map_k.layer2.weight", dims![K, K], &[1, 1]).when("elementwise_product"),
        Port::new("feature_map_k.layer2.bias", dims![K], Domain::Normal).when("elementwise_product"),
        Port::weight("feature_map_q.layer.weight", dims![K, K], &[1, 1]).when("layer"),
        Port::bias("feature_map_q.layer.bias", dims![K], &[1]).when("layer"),
        Port::weight("feature_map_k.layer.weight", dims![K, K], &[1, 1]).when("layer"),
        Port::bias("feature_map_k.layer.bias", dims![K], &[1]).when("layer"),
        Port::scale("norm.weight", dims![V]).when("output_norm"),
        Port::weight("o_proj.weight", dims![D, HQ, V], &[1, 2]),
        Port::new("h0", dims![N, HQ, C, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("z0", dims![N, HQ, C], Domain::Fraction)
            .single()
            .presence(Presence::OrZero)
            .when("do_feature_map_norm"),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HQ, C, V], Domain::Normal).single(),
        Port::new("zt", dims![N, HQ, C], Domain::Fraction).single().when("do_feature_map_norm"),
    ],
    attrs: &[
        Attr::flag("layer", false, "a learned layer before the feature map"),
        Attr::flag("elementwise_product", true, "the product of two learned layers for a feature map"),
        Attr::word("feature_map", &["identity", "elu", "relu", "dpfp", "hedgehog"], "on q and k"),
        Attr::flag("norm_q", false, "divide the features of q by their sum"),
        Attr::flag("norm_k", false, "divide the features of k by their sum"),
        Attr::flag("do_feature_map_norm", false, "divide by the sum of the weights"),
        Attr::flag("output_norm", true, "norm every head"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        Constraint {
            label: "C2",
            text: "elementwise_product excludes layer and a feature_map",
            holds: |p| !p.flag("elementwise_product") || !p.flag("layer") && p.word("feature_map") == "identity",
            break_it: |p| p.attrs.extend([("elementwise_product", Value::Flag(true)), ("layer", Value::Flag(true))]),
            mend: |p| _ = p.attrs.insert("elementwise_product", Value::Flag(false)),
        },
        Constraint {
            label: "C3",
            text: "C is K times the features of a channel",
            holds: |p| p.size(Dim::C) == channels(p),
            break_it: |p| _ = p.sizes.insert(Dim::C, channels(p) + 1),
            mend: |p| _ = p.sizes.insert(Dim::C, channels(p)),
        },
    ],
    independent: dims![B],
    states: &[State::new("h0", "ht"), State::new("z0", "zt")],
    function: function!(linear_attn_layer),
};
