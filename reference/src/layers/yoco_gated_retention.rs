//! Gated retention with projections: queries and keys turn with their position, and every token chooses each head's
//! decay.
//!
//! $$ q, k, v = W_q x, W_k x, W_v x, \qquad g = \tfrac{1}{\tau} \ln \sigma(W_g' x), \qquad
//! o = \operatorname{SimpleGLA}(R_t q, R_t k, v, g), \qquad
//! y = W_o \big( \operatorname{RMSNorm}(o) \odot \operatorname{swish}(W_g x) \big) $$
//!
//! per head, with τ = `gate_logit_normalizer` and $R_t$ the rotation of [`rotary`](crate::modules::rotary) at position
//! $t$ of neighbouring channels; the norm has no weight. The wavelengths are those of `rotary` with the base
//! `rope_theta`, or with `rope_inv_freq` `yoco` those that go all the way to the base: $\theta_i =
//! \text{base}^{-i/(K/2 - 1)}$.
//!
//! The states are seen from the next token: `h0` from the first one, at position 0, and `ht` from the one after the
//! last. Well conditioned.
//!
//! # Errors
//! C1: K is even. C2: D is HK. C3: `gate_logit_normalizer` is not 0.
//!
//! Paper: Sun et al., *You Only Cache Once: Decoder-Decoder Architectures for Language Models*, 2024:
//! gated retention.
//! Upstream: `YOCOGatedRetention` of `fla/layers/yoco.py` in 0.6.0: `num_heads` is H. Its states are seen from
//! position 0 whatever came before, and the cache says how many tokens that was. `mode`, `fuse_norm`,
//! `max_position_embeddings` and `layer_idx` do not change values.

use ndarray::Array2;

use crate::algebra::{linear, log_sigmoid, rank, swish};
use crate::call::Call;
use crate::mixer::{pairs, project, turn};
use crate::modules::rms_norm_gated::gated;
use crate::modules::rotary::{BASE, rotate};
use crate::ops;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn yoco_gated_retention_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let [q, k, v, gate] = ["q", "k", "v", "g"].map(|name| project(x, hidden, &format!("{name}_proj.weight")));
    let temperature = F::from_f64(x.problem.number("gate_logit_normalizer").unwrap_or(TEMPERATURE));
    let g: Array2<F> = rank(linear(&hidden, x.tensor("gk_proj.weight")));
    let base = base(x.problem);
    let mut answers = Call::of(&ops::simple_gla::SPEC)
        .with("q", rotate(&q, base, 0.0, true))
        .with("k", rotate(&k, base, 0.0, true))
        .with("v", v)
        .with("g", g.mapv(|z| log_sigmoid(z) / temperature))
        .with("h0", x.cube("h0"))
        .run();
    let o = gated(&answers.cube("o"), &gate, None, x.problem.number("norm_eps").unwrap_or(EPS), swish);
    let ht = turn(&answers.cube("ht"), -(x.tokens as f64), base, true);
    vec![linear(&o, x.tensor("o_proj.weight")), ht.into_dyn()]
}

/// The base whose powers by −2i/K are the frequencies.
fn base(p: &Problem) -> f64 {
    let (theta, width) = (p.number("rope_theta").unwrap_or(BASE), p.size(Dim::K) as f64);
    // one pair has the frequency 1 whatever the base
    if p.word("rope_inv_freq") == "yoco" && width > 2.0 { theta.powf(width / (width - 2.0)) } else { theta }
}

const EPS: f64 = 1e-6;
const TEMPERATURE: f64 = 16.0;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "yoco_gated_retention_layer",
    level: Level::Layer,
    summary: "o_proj(rms_norm(simple_gla(rotary q, rotary k, v, log sigmoid(gk_proj x) / 16)) * swish(g_proj x))",
    source: "Sun et al. 2024 (arXiv 2405.05254), gated retention",
    upstream: &["fla.layers.YOCOGatedRetention"],
    sizes: dims![B, T, D, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("g_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("gk_proj.weight", dims![H, D], &[1, 1]),
        Port::weight("o_proj.weight", dims![D, H, K], &[1, 2]),
        Port::new("h0", dims![N, H, K, K], Domain::Normal).single().presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, H, K, K], Domain::Normal).single(),
    ],
    attrs: &[
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
        Attr::word(
            "rope_inv_freq",
            &["fla", "yoco"],
            "whether the last wavelength falls short of the base or reaches it",
        ),
        Attr::number("gate_logit_normalizer", TEMPERATURE, 2.0, "divides the log decay"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[
        pairs("C1"),
        Constraint {
            label: "C2",
            text: "D is HK",
            holds: |p| p.size(Dim::D) == p.size(Dim::H).saturating_mul(p.size(Dim::K)),
            break_it: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::H) * p.size(Dim::K) + 1),
            mend: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::H).saturating_mul(p.size(Dim::K))),
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
    states: &[State::new("h0", "ht")],
    function: function!(yoco_gated_retention_layer),
};
