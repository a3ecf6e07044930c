//! Attention with projections whose weights are the squares of the scores of normed queries and keys.
//!
//! $$ q, k = N(W_q x), N(W_k x), \qquad N(y) = \gamma \odot \frac{y - \mu}{\sqrt{\sigma^2 + 10^{-5}}} + \beta, \qquad
//! y = W_o \operatorname{ReBased}(q, k, W_v x) $$
//!
//! per head, with mean μ and variance σ² over its channels, which count as 0 and 1 without `normalize`; γ and β exist
//! with `use_gamma` and `use_beta`, and are the same for all heads and for q and k. Ill conditioned where all scores
//! of a token are small: see [`ops::rebased`], which adds `eps` to the sum of the weights.
//!
//! # Errors
//! C1: V is D/H rounded down. C2: `normalize` or `use_gamma`. C3: `eps` is positive.
//!
//! Paper: Aksenov et al., *Linear Transformers with Learnable Kernel Functions are Better In-Context Models*, 2024.
//! Upstream: `ReBasedLinearAttention` of `fla/layers/rebased.py` in 0.6.0: `feature_dim` is K. `l_max`, `causal` and
//! `layer_idx` do not change values; `mode` does not either, but that the chunk modes add 1e-10 whatever `eps` is. It
//! has neither states nor packed sequences.

use ndarray::Array3;

use crate::algebra::linear;
use crate::call::Call;
use crate::mixer::{of_heads, project, share};
use crate::modules::feature_map_rebased;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Domain, Level, OpSpec, Port, Value};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rebased_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let [q, k, v] = ["q", "k", "v"].map(|name| project(x, x.matrix("x"), &format!("{name}_proj.weight")));
    let o = Call::of(&ops::rebased::SPEC)
        .with("q", affine(x, &q))
        .with("k", affine(x, &k))
        .with("v", v)
        .number("eps", x.problem.number("eps").unwrap_or(EPS))
        .run()
        .cube("o");
    vec![linear(&o, x.tensor("o_proj.weight"))]
}

/// The feature map's norm, scale and shift, of which the op takes the squares.
fn affine<F: Real>(x: &Unit<'_, F>, y: &Array3<F>) -> Array3<F> {
    let (gamma, beta) = (x.tensor("feature_map.gamma"), x.tensor("feature_map.beta"));
    of_heads(y, |y| feature_map_rebased::affine(y.view(), gamma, beta, x.problem.flag("normalize")))
}

/// What `eps` is unless given.
const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rebased_layer",
    level: Level::Layer,
    summary: "o_proj(rebased(layer_norm(q_proj x), layer_norm(k_proj x), v_proj x))",
    source: "Aksenov et al. 2024 (arXiv 2402.10644)",
    upstream: &["fla.layers.ReBasedLinearAttention"],
    sizes: dims![B, T, D, H, K, V],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::scale("feature_map.gamma", dims![K]).when("use_gamma"),
        Port::bias("feature_map.beta", dims![K], &[1]).when("use_beta"),
        Port::weight("q_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
    ],
    outputs: &[Port::new("o", dims![B, T, D], Domain::Normal)],
    attrs: &[
        Attr::flag("use_gamma", true, "scale the channels of q and k"),
        Attr::flag("use_beta", true, "shift the channels of q and k"),
        Attr::flag("normalize", true, "norm each head of q and k"),
        Attr::number("eps", EPS, 0.375, "added to the sum of the weights"),
    ],
    constraints: &[
        share("C1"),
        Constraint {
            label: "C2",
            text: "normalize or use_gamma",
            holds: |p| p.flag("normalize") || p.flag("use_gamma"),
            break_it: |p| p.attrs.extend([("normalize", Value::Flag(false)), ("use_gamma", Value::Flag(false))]),
            mend: |p| _ = p.attrs.remove("normalize"),
        },
        Constraint {
            label: "C3",
            text: "eps is positive",
            holds: |p| p.number("eps").is_some_and(|eps| eps > 0.0),
            break_it: |p| _ = p.attrs.insert("eps", Value::Number(0.0)),
            mend: |p| _ = p.attrs.remove("eps"),
        },
    ],
    independent: dims![B],
    states: &[],
    function: function!(rebased_layer),
};
