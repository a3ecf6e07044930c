//! Softmax attention with rotary positions, whose projections have ternary weights and activations in eight bits.
//!
//! $$ q, k = R\, \operatorname{Bit}_{q,k}(x), \quad v = \operatorname{Bit}_v(x), \quad o = \operatorname{Attn}(q, k,
//! v), \quad y = \operatorname{Bit}_o(o) $$
//!
//! with Bit the projection of [`crate::modules::bit_linear`] without a bias, each with a norm of its own (ε = 10⁻⁸),
//! and R the turn of [`crate::modules::rotary`] in halves, of base `rope_theta`. The attention is that of
//! [`crate::ops::attn`], with a window of `window_size` tokens where there is one. A key head serves HQ/H query heads.
//! Gradients are those of the straight-through estimator; ill conditioned near the steps of the quantisation, as that
//! module says.
//!
//! # Errors
//! C1: HQ is a multiple of H. C2: K is even. C3: D = HQ·K. C4: a window has a token.
//!
//! Paper: Ma et al., *The Era of 1-bit LLMs*, 2024, §2; Wang et al., *BitNet*, 2023, §2.1.
//! Upstream: `BitAttention` of `fla/layers/bitattn.py` in 0.6.0, which takes a `norm_eps` and never uses it;
//! `max_position_embeddings` and `layer_idx` do not change values. It needs flash-attn, and with it 16-bit inputs.

use ndarray::{Array2, Array3};

use crate::algebra::{heads, linear, matrix, rank};
use crate::attention::{as_wide_as_the_model, pairs, turned, window, windowed};
use crate::call::Call;
use crate::modules::bit_linear::{quantised_tokens, quantised_weight};
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::BASE;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn bitattn_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [count, width] = [Dim::HQ, Dim::D].map(|d| x.problem.size(d));
    let hidden = x.matrix("x").to_owned();
    let [q, k, v]: [Array3<F>; 3] = ["q", "k", "v"].map(|name| {
        let weight = quantised_weight(x.tensor(&format!("{name}_proj.weight")));
        rank(linear(&normed(x, &hidden, name), weight.view()))
    });
    let call = Call::of(&ops::attn::SPEC).with("q", turned(x, &q)).with("k", turned(x, &k)).with("v", v);
    let o = matrix(&windowed(x, call).run().cube("o"), x.tokens, width);
    let weight = quantised_weight(x.tensor("o_proj.weight"));
    vec![linear(&heads(&normed(x, &o, "o"), count), weight.view())]
}

/// What the projection of that name multiplies its weight by.
fn normed<F: Real>(x: &Unit<'_, F>, y: &Array2<F>, name: &str) -> Array2<F> {
    quantised_tokens(normalise(y, Some(x.tensor(&format!("{name}_proj.norm.weight"))), EPS))
}

const EPS: f64 = 1e-8;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "bitattn_layer",
    level: Level::Layer,
    summary: "bit_linear(attn(rotary(bit_linear(x)), rotary(bit_linear(x)), bit_linear(x)))",
    source: "Ma et al. 2024 (arXiv 2402.17764), §2",
    upstream: &["fla.layers.BitAttention"],
    sizes: dims![B, T, D, HQ, H, K],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("q_proj.weight", dims![HQ, K, D], &[2, 1]),
        Port::new("q_proj.norm.weight", dims![D], Domain::Uniform(0.5, 1.5)).single(),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("k_proj.norm.weight", dims![D], Domain::Uniform(0.5, 1.5)).single(),
        Port::weight("v_proj.weight", dims![H, K, D], &[2, 1]),
        Port::new("v_proj.norm.weight", dims![D], Domain::Uniform(0.5, 1.5)).single(),
        Port::weight("o_proj.weight", dims![D, HQ, K], &[1, 2]),
        Port::new("o_proj.norm.weight", dims![D], Domain::Uniform(0.5, 1.5)).single(),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::auto("window_size", 3.0, "how many tokens a query sees, its own included; auto is all"),
        Attr::number("rope_theta", BASE, 100.0, "base of the wavelengths"),
    ],
    constraints: &[Constraint::grouped_queries("C1"), pairs("C2"), as_wide_as_the_model("C3"), window("C4")],
    independent: dims![B],
    states: &[],
    function: function!(bitattn_layer),
};
