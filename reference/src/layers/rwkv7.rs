//! The time mixing of RWKV-7: six streams mixed from the token and the one before it, and a state that a normalised key
//! clears to a degree of its own in each channel.
//!
//! $$ \delta_t = x_{t-1} - x_t, \quad x_n = x + \delta \odot \mu_n, \quad n \in \{r, w, k, v, a, g\}, \quad
//! r, k', v' = W_r x_r, W_k x_k, W_v x_v $$
//! $$ \ln d = -e^{-1/2}\, \sigma\big(W^w_2 \tanh(W^w_1 x_w) + b^w\big), \quad
//! a = \sigma\big(W^a_2 W^a_1 x_a + b^a\big), \quad g = W^g_2\, \sigma(W^g_1 x_g) $$
//! $$ v = v' + (v_{first} - v') \odot \sigma\big(W^v_2 W^v_1 x_v + b^v\big), \quad
//! \kappa = \frac{k' \odot \xi}{\lVert k' \odot \xi \rVert}, \quad k = k' \odot (1 + (a - 1) \odot \alpha) $$
//! $$ y = \operatorname{GroupNorm}(\operatorname{RWKV7}(r, \ln d, k, v, \kappa, a)), \qquad
//! o = W_o \Big( g \odot \big( y + (\textstyle\sum r \odot k \odot \rho)\, v \big) \Big) $$
//!
//! with ξ = `k_k`, α = `k_a`, ρ = `r_k`, norms per head and ε of the group norm K·`norm_eps`. The `first_layer` keeps
//! v = v′ and gives it to the others as `v_first`. Before the first token comes `x0`; `xt` is the last token.
//! With `fuse_norm` the norm of κ is √(Σ + 10⁻⁶), else it is at least 10⁻¹². Ill conditioned where that norm is small.
//!
//! # Errors
//! C1: D is H·K.
//!
//! Paper: Peng et al., *RWKV-7 "Goose" with Expressive Dynamic State Evolution*, 2025, the time mixing.
//! Upstream: `RWKV7Attention` of `fla/layers/rwkv7.py` in 0.6.0: `head_dim` is K, `value_dim` H·V, the ranks of the
//! bottlenecks `decay_low_rank_dim` E, `v_low_rank_dim` M, `a_low_rank_dim` R and `gate_low_rank_dim` I, `first_layer`
//! is `layer_idx` = 0, and $e^{-1/2}$ is 0.6065306597126334. `elementwise_affine` is the presence of `g_norm`'s
//! parameters. Its backward pass writes the gradient of x over x. `mode` does not change values; `num_hidden_layers` is
//! an option of initialisation.

use ndarray::{Array2, Array3, Ix2};

use crate::algebra::{affine, linear, lora, plus, rank, tanh, times};
use crate::call::Call;
use crate::layers::rwkv6::per_head;
use crate::mixer::{project, token_shift};
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv7_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let (hidden, (delta, last)) = (x.matrix("x"), token_shift(x.matrix("x"), x.vector("x0")));
    let mixed = |name: &str| -> Array2<F> { &hidden + &(&delta * &x.vector(&format!("x_{name}"))) };
    let [r, k, mut v] = ["r", "k", "v"].map(|name| project(x, mixed(name).view(), &format!("{name}_proj.weight")));
    let fading = bottleneck(x, &mixed("w"), "w", tanh).mapv(|w| F::from_f64(SLOWEST) * w.sigmoid());
    let first = v.clone();
    if !x.problem.flag("first_layer") {
        let share = bottleneck(x, &mixed("v"), "v", |y| y).mapv(F::sigmoid);
        v = &v + &((&x.cube("v_first") - &v) * share);
    }
    let a = bottleneck(x, &mixed("a"), "a", |y| y).mapv(F::sigmoid);
    let gate = lora(&mixed("g"), x.tensor("g_lora.lora.0.weight"), F::sigmoid, x.tensor("g_lora.lora.2.weight"));
    let kk = unit(times(k.clone(), x.tensor("k_k")), x.problem.flag("fuse_norm"));
    let k = &k * &(times(a.mapv(|a| a - F::one()), x.tensor("k_a")).mapv(|y| F::one() + y));
    let mut answers = Call::of(&ops::rwkv7::SPEC)
        .with("q", r.view())
        .with("g", fading)
        .with("k", k.view())
        .with("v", v.view())
        .with("kk", kk)
        .with("a", a)
        .with("h0", x.cube("h0"))
        .run();
    let eps = x.problem.number("norm_eps").unwrap_or(EPS) * x.problem.size(Dim::K) as f64;
    let y = times(per_head(&answers.cube("o"), eps), x.tensor("g_norm.weight"));
    let y = Call::of(&ops::rwkv7_output_gate::SPEC)
        .with("x", plus(y, x.tensor("g_norm.bias")))
        .with("q", r)
        .with("k", k)
        .with("r_k", x.matrix("r_k"))
        .with("v", v)
        .with("g", gate)
        .run()
        .cube("o");
    vec![linear(&y, x.tensor("o_proj.weight")), first.into_dyn(), answers.take("ht"), last.into_dyn()]
}

/// A bottleneck with a bias: `[T, H, K]`.
fn bottleneck<F: Real>(x: &Unit<'_, F>, mixed: &Array2<F>, name: &str, act: fn(F) -> F) -> Array3<F> {
    let of = |layer: &str| x.tensor(&format!("{name}_lora.lora.{layer}"));
    let inner = rank::<F, Ix2>(linear(mixed, of("0.weight"))).mapv(act);
    rank(affine(&inner, of("2.weight"), of("2.bias")))
}

/// Over its length in every head; what is as good as nothing stays that.
fn unit<F: Real>(mut k: Array3<F>, fused: bool) -> Array3<F> {
    for mut key in k.lanes_mut(ndarray::Axis(2)) {
        let sum: F = key.iter().map(|&x| x * x).sum();
        let length = match fused {
            true => (sum + F::from_f64(FUSED_EPS)).sqrt(),
            false if sum.value() < LEAST * LEAST => F::from_f64(LEAST),
            false => sum.sqrt(),
        };
        key.mapv_inplace(|x| x / length);
    }
    k
}

const EPS: f64 = 1e-5;
const FUSED_EPS: f64 = 1e-6;
const LEAST: f64 = 1e-12;
/// −e^(−1/2), as upstream writes it.
const SLOWEST: f64 = -0.606_530_659_712_633_4;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv7_layer",
    level: Level::Layer,
    summary: "o_proj(rwkv7_output_gate(group_norm(rwkv7(r, −e^−½ σ(w), k, v, kk, a)), r, k, v, g)) of a token shift",
    source: "Peng et al. 2025 (arXiv 2503.14456), time mixing",
    upstream: &["fla.layers.RWKV7Attention"],
    sizes: dims![B, T, D, H, K, V, E, I, R, M],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("v_first", dims![B, T, H, V], Domain::Normal).merged(&[1, 1, 2]).unless("first_layer"),
        Port::new("x_r", dims![D], Domain::Uniform(0.0, 1.0)).merged(&[0, 0, 1]),
        Port::new("x_w", dims![D], Domain::Uniform(0.0, 1.0)).merged(&[0, 0, 1]),
        Port::new("x_k", dims![D], Domain::Uniform(0.0, 1.0)).merged(&[0, 0, 1]),
        Port::new("x_v", dims![D], Domain::Uniform(0.0, 1.0)).merged(&[0, 0, 1]),
        Port::new("x_a", dims![D], Domain::Uniform(0.0, 1.0)).merged(&[0, 0, 1]),
        Port::new("x_g", dims![D], Domain::Uniform(0.0, 1.0)).merged(&[0, 0, 1]),
        Port::new("k_k", dims![H, K], Domain::Uniform(0.5, 1.0)).merged(&[2]),
        Port::new("k_a", dims![H, K], Domain::Uniform(0.5, 1.5)).merged(&[2]),
        Port::new("r_k", dims![H, K], Domain::Normal),
        Port::weight("r_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("k_proj.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.weight", dims![H, V, D], &[2, 1]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::weight("w_lora.lora.0.weight", dims![E, D], &[1, 1]),
        Port::weight("w_lora.lora.2.weight", dims![H, K, E], &[2, 1]),
        Port::new("w_lora.lora.2.bias", dims![H, K], Domain::Uniform(-4.0, 0.0)).merged(&[2]),
        Port::weight("v_lora.lora.0.weight", dims![M, D], &[1, 1]).unless("first_layer"),
        Port::weight("v_lora.lora.2.weight", dims![H, V, M], &[2, 1]).unless("first_layer"),
        Port::new("v_lora.lora.2.bias", dims![H, V], Domain::Normal).merged(&[2]).unless("first_layer"),
        Port::weight("a_lora.lora.0.weight", dims![R, D], &[1, 1]),
        Port::weight("a_lora.lora.2.weight", dims![H, K, R], &[2, 1]),
        Port::new("a_lora.lora.2.bias", dims![H, K], Domain::Normal).merged(&[2]),
        Port::weight("g_lora.lora.0.weight", dims![I, D], &[1, 1]),
        Port::weight("g_lora.lora.2.weight", dims![H, V, I], &[2, 1]),
        Port::scale("g_norm.weight", dims![H, V]).merged(&[2]),
        Port::bias("g_norm.bias", dims![H, V], &[2]),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("x0", dims![N, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("v_first_out", dims![B, T, H, V], Domain::Normal).merged(&[1, 1, 2]).when("first_layer"),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("xt", dims![N, D], Domain::Normal),
    ],
    attrs: &[
        Attr::flag("first_layer", false, "make v_first instead of taking it"),
        Attr::flag("fuse_norm", false, "add 1e-6 to the squared length of kk"),
        Attr::number("norm_eps", EPS, 0.25, "times K, added to the variance"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "D is H·K",
        holds: |p| p.size(Dim::D) == p.size(Dim::H) * p.size(Dim::K),
        break_it: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::H) * p.size(Dim::K) + 1),
        mend: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::H) * p.size(Dim::K)),
    }],
    independent: dims![B],
    states: &[State::new("h0", "ht"), State::new("x0", "xt")],
    function: function!(rwkv7_layer),
};
