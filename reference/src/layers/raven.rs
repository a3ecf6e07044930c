//! Gated slot attention with a router: every token writes into the few slots that its router scores highest.
//!
//! $$ q, k = N(\phi(W_q x)), N(\phi(W_k x)), \qquad v = \alpha(W_v x), \qquad r = \sigma(W_r x), \qquad
//! w_m = \frac{r_m}{\sum_{n \in S} r_n + 10^{-9}} \text{ for } m \in S, \text{ else } 0, $$
//! $$ g = - w\, e^{A} \ln(1 + e^{W_a x + b}), \qquad
//! y = W_o \operatorname{RMSNorm}\big( \alpha(\operatorname{GSA}(q, k, v, 1 - e^g, g)) \big) $$
//!
//! with φ = `feature_map` or, with `t2r`, $\operatorname{relu}(W y)$; N the RMS norm of a head; α = `gate_fn`; S the
//! `topk` slots of the highest r, or of r plus `r_bias` with `bias_rmm`. With the `router_score` `softmax`, w is the
//! softmax of $W_r x$ on S, not divided. With `mlp_router`, $W_r x$ is $W_2 \operatorname{gelu}(W_1 x + b)$; with
//! `gla_decay`, g is $w \ln \sigma(W_f x) / \tau$ with τ = `gate_logit_normalizer`; with `use_rope`, q and k turn with
//! their position. The last norm is over the channels of all heads together, or with `use_output_gate` over those of a
//! head, and then gated by $\alpha(W_g x)$. A key head serves HQ/H query heads, each with slots of its own.
//!
//! With `use_rope` the states of the keys are seen from the next token: `hk0` from the first one, at position 0, and
//! `hkt` from the one after the last. Well conditioned but where two slots score alike: the choice jumps, and has no
//! gradient. Of equal scores the first slot's counts as higher.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: `topk` is a whole number from 1 to M. C3: K is even with `use_rope`. C4:
//! `gate_logit_normalizer` is not 0.
//!
//! Paper: none; gated slot attention is of Zhang et al., *Gated Slot Attention*, 2024.
//! Upstream: `Raven` of `fla/layers/raven.py` in 0.6.0: `num_heads` is HQ, `num_kv_heads` H, `expand_k` HQ·K/D,
//! `expand_v` HQ·V/D, `num_slots` M, a `scale` of None K^-1/2. `gla_decay` is the `decay_type` `GLA`, `mlp_router` the
//! `router_type` `mlp`, `t2r` a word of `feature_map`. While it trains, it adds random noise to $W_r x$ unless
//! `add_gumbel_noise` is false. `use_short_conv` raises. It sees the states from position 0 whatever came before.
//! `mode`, `fuse_norm`, `max_position_embeddings` and `layer_idx` do not change values; without affine parameters the
//! norms have no weights.

use ndarray::{Array3, ArrayViewMut1, Axis, Ix2};

use crate::algebra::{affine, gelu_exact, linear, log_sigmoid, plus, rank, softmax};
use crate::call::Call;
use crate::mixer::{activation, features, norm_of_all, project, repeat, turn};
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::{BASE, rotate};
use crate::ops;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn raven_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let act = activation::<F>(x.problem.word("gate_fn"));
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let rope = x.problem.flag("use_rope").then(|| x.problem.number("rope_theta").unwrap_or(BASE));
    let [q, k] = ["q", "k"].map(|name| {
        let y = features(x, &project(x, hidden, &format!("{name}_proj.weight")));
        let y = normalise(&y, Some(x.tensor(&format!("{name}_norm.weight"))), eps);
        match rope {
            Some(base) => rotate(&y, base, 0.0, false),
            None => y,
        }
    });
    let g = decay(x) * weights(x);
    let each = x.problem.size(Dim::HQ) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::gsa::SPEC)
        .with("q", q)
        .with("k", repeat(&k, each))
        .with("v", repeat(&project(x, hidden, "v_proj.weight").mapv(act), each))
        .with("s", repeat(&g.mapv(|g| F::one() - g.exp()), each))
        .with("g", repeat(&g, each))
        .with("hk0", x.cube("hk0"))
        .with("hv0", x.cube("hv0"))
        .number("scale", x.problem.number("scale").unwrap_or(1.0))
        .run();
    let mut o = answers.cube("o").mapv(act);
    if x.problem.flag("use_output_gate") {
        let gate = project(x, hidden, "o_gate_proj.weight").mapv(act);
        o = normalise(&o, Some(x.tensor("o_norm.weight")), eps) * gate;
    } else {
        o = norm_of_all(&o, x.tensor("g_norm.weight"), eps);
    }
    let mut hkt = answers.cube("hkt");
    if let Some(base) = rope {
        hkt = turn(&hkt, -(x.tokens as f64), base, false);
    }
    vec![linear(&o, x.tensor("o_proj.weight")), hkt.into_dyn(), answers.take("hvt")]
}

/// The log decay of a slot that a token writes with weight 1: `[T, H, M]`, or `[T, H, 1]` for all slots.
fn decay<F: Real>(x: &Unit<'_, F>) -> Array3<F> {
    let hidden = x.matrix("x");
    if x.problem.flag("gla_decay") {
        let temperature = F::from_f64(x.problem.number("gate_logit_normalizer").unwrap_or(TEMPERATURE));
        return project(x, hidden, "f_proj.weight").mapv(|z| log_sigmoid(z) / temperature);
    }
    let mut g = plus(rank::<F, Ix2>(linear(&hidden, x.tensor("a_proj.weight"))), x.tensor("dt_bias"));
    for (mut g, rate) in g.axis_iter_mut(Axis(1)).zip(x.vector("A_log")) {
        g.mapv_inplace(|z| -(rate.exp() * z.softplus()));
    }
    g.insert_axis(Axis(2))
}

/// With which weights a token writes the slots: `[T, H, M]`.
fn weights<F: Real>(x: &Unit<'_, F>) -> Array3<F> {
    let hidden = x.matrix("x");
    let logits = if x.problem.flag("mlp_router") {
        let inner =
            rank::<F, Ix2>(affine(&hidden, x.tensor("r_proj.0.weight"), x.tensor("r_proj.0.bias"))).mapv(gelu_exact);
        project(x, inner.view(), "r_proj.2.weight")
    } else {
        project(x, hidden, "r_proj.weight")
    };
    let divided = x.problem.word("router_score") == "sigmoid";
    let mut scores = if divided { logits.mapv(F::sigmoid) } else { softmax(logits) };
    let biased = plus(scores.clone(), x.tensor("r_bias"));
    for (mut scores, biased) in scores.lanes_mut(Axis(2)).into_iter().zip(biased.lanes(Axis(2))) {
        let mut order: Vec<usize> = (0..biased.len()).collect();
        order.sort_by(|&m, &n| biased[n].value().total_cmp(&biased[m].value()));
        order[topk(x.problem)..].iter().for_each(|&m| scores[m] = F::zero());
        if divided {
            divide(scores);
        }
    }
    scores
}

fn divide<F: Real>(mut scores: ArrayViewMut1<'_, F>) {
    let total = scores.iter().copied().sum::<F>() + F::from_f64(LEAST);
    scores.mapv_inplace(|r| r / total);
}

fn topk(p: &Problem) -> usize {
    p.number("topk").map_or(p.size(Dim::M).min(SLOTS), |k| k as usize)
}

const EPS: f64 = 1e-5;
const TEMPERATURE: f64 = 8.0;
/// What upstream adds to the sum of the scores.
const LEAST: f64 = 1e-9;
/// How many slots a token writes at most, unless told otherwise.
const SLOTS: usize = 32;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "raven_layer",
    level: Level::Layer,
    summary: "w = top-k of sigmoid(r_proj x);  o = o_proj(rms_norm(act(gsa(q, k, act(v_proj x), 1 - exp(w g), w g))))",
    source: "Zhang et al. 2024 (arXiv 2409.07146) for the slots",
    upstream: &["fla.layers.Raven"],
    sizes: dims![B, T, D, HQ, H, K, V, M],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("A_log", dims![H], Domain::LogRate).single().unless("gla_decay"),
        Port::new("dt_bias", dims![H], Domain::Normal).single().unless("gla_decay"),
        Port::new("r_bias", dims![H, M], Domain::Normal).single().constant().when("bias_rmm"),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::weight("feature_map.layer.weight", dims![K, K], &[1, 1]).when("t2r"),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("a_proj.weight", dims![H, D], &[1, 1]).unless("gla_decay"),
        Port::weight("f_proj.weight", dims![H, M, D], &[2, 1]).when("gla_decay"),
        Port::weight("r_proj.weight", dims![H, M, D], &[2, 1]).unless("mlp_router"),
        Port::weight("r_proj.0.weight", dims![D, D], &[1, 1]).when("mlp_router"),
        Port::new("r_proj.0.bias", dims![D], Domain::Normal).when("mlp_router"),
        Port::weight("r_proj.2.weight", dims![H, M, D], &[2, 1]).when("mlp_router"),
        Port::scale("q_norm.weight", dims![K]),
        Port::scale("k_norm.weight", dims![K]),
        Port::weight("o_gate_proj.weight", dims![HQ, V, D], &[2, 1]).when("use_output_gate"),
        Port::scale("o_norm.weight", dims![V]).when("use_output_gate"),
        Port::scale("g_norm.weight", dims![HQ, V]).merged(&[2]).unless("use_output_gate"),
        Port::weight("o_proj.weight", dims![D, HQ, V], &[1, 2]),
        Port::new("hk0", dims![N, HQ, K, M], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("hv0", dims![N, HQ, M, V], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("hkt", dims![N, HQ, K, M], Domain::Normal).single(),
        Port::new("hvt", dims![N, HQ, M, V], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::word("feature_map", &["swish", "relu"], "on q and k"),
        Attr::flag("t2r", false, "a learned feature map instead"),
        Attr::flag("gla_decay", false, "a decay of each slot"),
        Attr::number("gate_logit_normalizer", TEMPERATURE, 2.0, "divides the log decay of each slot"),
        Attr::word("router_score", &["sigmoid", "softmax"], "of the router's logits"),
        Attr::flag("mlp_router", false, "a layer between the input and the router"),
        Attr::auto("topk", 2.0, "how many slots a token writes; auto is M up to 32"),
        Attr::flag("bias_rmm", false, "add r_bias to the scores that choose"),
        Attr::flag("use_rope", false, "turn q and k with their position"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
        Attr::word("gate_fn", &["swish", "sigmoid", "relu"], "on the values, the outputs and their gate"),
        Attr::flag("use_output_gate", false, "gate the normed outputs of the heads"),
        Attr::number("scale", 1.0, 0.375, "factor on q before the softmax over the slots"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[
        Constraint::grouped_queries("C1"),
        Constraint {
            label: "C2",
            text: "topk is a whole number from 1 to M",
            holds: |p| match p.number("topk") {
                Some(k) => k.fract() == 0.0 && k >= 1.0 && k <= p.size(Dim::M) as f64,
                None => p.size(Dim::M) > 0,
            },
            break_it: |p| _ = p.attrs.insert("topk", Value::Number(0.0)),
            mend: |p| {
                p.attrs.remove("topk");
                p.sizes.insert(Dim::M, p.size(Dim::M).max(1));
            },
        },
        Constraint {
            label: "C3",
            text: "K is even with use_rope",
            holds: |p| !p.flag("use_rope") || p.size(Dim::K).is_multiple_of(2),
            break_it: |p| {
                p.attrs.insert("use_rope", Value::Flag(true));
                p.sizes.insert(Dim::K, 3);
            },
            mend: |p| _ = p.sizes.insert(Dim::K, p.size(Dim::K).next_multiple_of(2)),
        },
        Constraint {
            label: "C4",
            text: "gate_logit_normalizer is not 0",
            holds: |p| p.number("gate_logit_normalizer").is_some_and(|x| x.abs() > 0.0),
            break_it: |p| _ = p.attrs.insert("gate_logit_normalizer", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("gate_logit_normalizer"),
        },
    ],
    independent: dims![B],
    states: &[State::new("hk0", "hkt"), State::new("hv0", "hvt")],
    function: function!(raven_layer),
};
