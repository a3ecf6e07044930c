//! The time mixing of RWKV-6: five streams, each mixed from the token and the one before it by a weight of its own that
//! depends on both.
//!
//! $$ \delta_t = x_{t-1} - x_t, \qquad \mu_n = W^2_n \tanh\big(W^1_n (x + \delta \odot \mu)\big) + \beta_n, \qquad
//! x_n = x + \delta \odot \mu_n, \qquad n \in \{r, w, k, v, g\} $$
//! $$ r, k, v, g = W_r x_r, W_k x_k, W_v x_v, W_g x_g, \qquad
//! \ln d = -\exp\big(W_2 \tanh(W_1 x_w) + b\big) $$
//! $$ o = W_o \big( \operatorname{GroupNorm}(\operatorname{RWKV6}(r, k, v, \ln d, u)) \odot \phi(g) \big) $$
//!
//! with μ = `x_proj.0.mu`, $W^1, W^2$ = `x_proj`, β = `x_bias`, u = `bonus`, φ = `gate_fn`; the norm is that of layers,
//! over the channels of a head. Before the first token comes `x0`; `xt` is the last token. Well conditioned as a
//! recurrence; the norm is ill conditioned where the values of a head differ by less than √ε, as they do in the first
//! tokens of a sequence when the bonus is small.
//!
//! # Errors
//! C1: L is 5, the streams.
//!
//! Paper: Peng et al., *Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence*, 2024, the
//! time mixing of Finch.
//! Upstream: `RWKV6Attention` of `fla/layers/rwkv6.py` in 0.6.0: `num_heads` is H, `expand_k` H·K/D, `expand_v` H·V/D,
//! `proj_low_rank_dim` E, `gate_low_rank_dim` I, `elementwise_affine` the presence of `g_norm`'s parameters. Its cache
//! keeps the last row of a packed batch instead of the last token of each sequence, and a cache switches the shift of
//! packed sequences off. `mode`, `fuse_norm` and `layer_idx` do not change values.

use ndarray::{Array2, Array3, Axis, Ix2};

use crate::algebra::{affine, linear, matrix, plus, rank, tanh, times};
use crate::call::Call;
use crate::mixer::{activation, project, token_shift};
use crate::modules::layer_norm;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn rwkv6_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let hidden = x.matrix("x");
    let (delta, last) = token_shift(hidden, x.vector("x0"));
    let mixes = mixes(x, &delta);
    let mixed = |n: usize| -> Array2<F> { &hidden + &(&delta * &mixes.index_axis(Axis(1), n)) };
    let stream = |n: usize, name: &str| project(x, mixed(n).view(), &format!("{name}_proj.linear.weight"));
    let lora = |part: &str| x.tensor(&format!("w_proj.linear.lora.{part}"));
    let inner = rank::<F, Ix2>(linear(&mixed(1), lora("0.weight"))).mapv(tanh);
    let logits: Array3<F> = rank(affine(&inner, lora("2.weight"), lora("2.bias")));
    let mut answers = Call::of(&ops::rwkv6::SPEC)
        .with("q", stream(0, "r"))
        .with("k", stream(2, "k"))
        .with("v", stream(3, "v"))
        .with("g", logits.mapv(|w| -w.exp()))
        .with("u", x.matrix("bonus"))
        .with("h0", x.cube("h0"))
        .number("scale", 1.0)
        .run();
    let o = per_head(&answers.cube("o"), x.problem.number("norm_eps").unwrap_or(EPS));
    let o = plus(times(o, x.tensor("g_norm.weight")), x.tensor("g_norm.bias"));
    let o = o * stream(4, "g").mapv(activation(x.problem.word("gate_fn")));
    vec![linear(&o, x.tensor("o_proj.weight")), answers.take("ht"), last.into_dyn()]
}

/// How far each of the five streams moves towards the token before: `[T, 5, D]`.
fn mixes<F: Real>(x: &Unit<'_, F>, delta: &Array2<F>) -> Array3<F> {
    let hidden = &x.matrix("x") + &(delta * &x.vector("x_proj.0.mu"));
    let low = project(x, hidden.view(), "x_proj.0.linear.weight").mapv(tanh);
    let (up, bias) = (x.cube("x_proj.2.weight"), x.matrix("x_bias"));
    let mut mixes = Array3::from_elem((x.tokens, low.dim().1, up.dim().0), F::zero());
    for (n, mut mix) in mixes.axis_iter_mut(Axis(1)).enumerate() {
        mix.assign(&(F::rows(low.index_axis(Axis(1), n), up.index_axis(Axis(1), n)) + bias.row(n)));
    }
    mixes
}

/// Mean 0 and variance 1 over the channels of each head.
pub(super) fn per_head<F: Real>(o: &Array3<F>, eps: f64) -> Array3<F> {
    let (tokens, heads, width) = o.dim();
    let normed = layer_norm::normalise(&matrix(o, tokens * heads, width), eps);
    normed.into_shape_with_order(o.raw_dim()).expect("as many elements as before")
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "rwkv6_layer",
    level: Level::Layer,
    summary: "o_proj(group_norm(rwkv6(r, k, v, −exp(w), bonus)) * swish(g)), streams of data-dependent token shifts",
    source: "Peng et al. 2024 (arXiv 2404.05892), time mixing of Finch",
    upstream: &["fla.layers.RWKV6Attention"],
    sizes: dims![B, T, D, H, K, V, E, I, L],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::new("x_bias", dims![L, D], Domain::Uniform(0.0, 1.0)),
        Port::new("bonus", dims![H, K], Domain::Uniform(-1.0, 1.0)),
        Port::new("x_proj.0.mu", dims![D], Domain::Uniform(0.0, 1.0)),
        Port::weight("x_proj.0.linear.weight", dims![L, E, D], &[2, 1]),
        Port::weight("x_proj.2.weight", dims![D, L, E], &[1, 2]),
        Port::weight("r_proj.linear.weight", dims![H, K, D], &[2, 1]),
        Port::weight("w_proj.linear.lora.0.weight", dims![I, D], &[1, 1]),
        Port::weight("w_proj.linear.lora.2.weight", dims![H, K, I], &[2, 1]),
        Port::new("w_proj.linear.lora.2.bias", dims![H, K], Domain::Uniform(-4.0, 0.0)).merged(&[2]),
        Port::weight("k_proj.linear.weight", dims![H, K, D], &[2, 1]),
        Port::weight("v_proj.linear.weight", dims![H, V, D], &[2, 1]),
        Port::weight("g_proj.linear.weight", dims![H, V, D], &[2, 1]),
        Port::scale("g_norm.weight", dims![H, V]).merged(&[2]),
        Port::bias("g_norm.bias", dims![H, V], &[2]),
        Port::weight("o_proj.weight", dims![D, H, V], &[1, 2]),
        Port::new("h0", dims![N, H, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("x0", dims![N, D], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, H, K, V], Domain::Normal).single(),
        Port::new("xt", dims![N, D], Domain::Normal),
    ],
    attrs: &[
        Attr::word("gate_fn", &["swish", "sigmoid", "relu"], "the activation of the output gate"),
        Attr::number("norm_eps", EPS, 0.25, "added to the variance"),
    ],
    constraints: &[Constraint {
        label: "C1",
        text: "L is 5",
        holds: |p| p.size(Dim::L) == 5,
        break_it: |p| _ = p.sizes.insert(Dim::L, 4),
        mend: |p| _ = p.sizes.insert(Dim::L, 5),
    }],
    independent: dims![B],
    states: &[State::new("h0", "ht"), State::new("x0", "xt")],
    function: function!(rwkv6_layer),
};
