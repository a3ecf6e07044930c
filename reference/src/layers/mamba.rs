//! Mamba: a selective scan, in which every channel forgets at rates of its own in each coordinate of its state.
//!
//! $$ (u, z) = W_{in} x + b_{in}, \quad u \leftarrow \phi(\operatorname{conv} u), \quad
//! (\delta, B, C) = W_x u, \quad \Delta = \operatorname{softplus}(W_\Delta \delta + b_\Delta) $$
//! $$ h_t = e^{-\Delta_t e^{A}} \odot h_{t-1} + B_t (\Delta_t \odot u_t)^\top, \qquad
//! y_t = h_t^\top C_t + D \odot u_t, \qquad o_t = W_{out} (y_t \odot \phi(z_t)) + b_{out} $$
//!
//! with A = `A_log`, state size K, I channels and φ = `hidden_act`. The state `h0` is `[K, I]`; the exponent pairs the
//! step of a channel with its K rates. Well conditioned: all decays lie in (0, 1).
//!
//! Paper: Gu & Dao, *Mamba: Linear-Time Sequence Modeling with Selective State Spaces*, 2023, algorithm 2 and §3.4.
//! Upstream: `Mamba` of `fla/layers/mamba.py` in 0.6.0: `state_size` is K, `intermediate_size` I, `conv_kernel` W,
//! `dt_rank` E; its state is `[I, K]`. `use_conv_bias` and `use_bias` are the presence of biases. `cu_seqlens` is
//! ignored there, so that packed sequences leak into one another. `backend`, `layer_idx` and the options of
//! initialisation do not change values; CUDA kernels gate by swish whatever `hidden_act` says.

use ndarray::{Array2, ArrayD, Axis};

use crate::algebra::{affine, linear, plus, rank};
use crate::mixer::{activation, filter};
use crate::real::Real;
use crate::spec::{Attr, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn mamba_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let act = activation::<F>(x.problem.word("hidden_act"));
    let hidden = x.matrix("x");
    let half = |part: &str| -> Array2<F> {
        let [weight, bias] = ["weight", "bias"].map(|of| x.tensor(&format!("in_proj.{of}[{part}]")));
        rank(affine(&hidden, weight, bias))
    };
    let (u, convt) = convolved(x, half("x"), "conv1d", "conv0");
    let u = u.mapv(act);
    let of = |part: &str| -> Array2<F> { rank(linear(&u, x.tensor(&format!("x_proj.weight[{part}]")))) };
    let step = linear(&of("dt"), x.tensor("dt_proj.weight"));
    let step: Array2<F> = plus(rank(step), x.tensor("dt_proj.bias")).mapv(F::softplus);
    let (y, ht) = scan(x, &u, &step, &of("B"), &of("C"));
    let y = (y + &u * &x.vector("D")) * half("z").mapv(act);
    let o = plus(rank::<F, ndarray::Ix2>(linear(&y, x.tensor("out_proj.weight"))), x.tensor("out_proj.bias"));
    vec![o.into_dyn(), ht.into_dyn(), convt]
}

/// Channels without heads through the convolution of that name: `[T, I]`, and the state after it.
pub(super) fn convolved<F: Real>(x: &Unit<'_, F>, u: Array2<F>, name: &str, state: &str) -> (Array2<F>, ArrayD<F>) {
    let (weight, bias) = (x.tensor(&format!("{name}.weight")), x.tensor(&format!("{name}.bias")));
    let (y, end) = filter(&u.insert_axis(Axis(1)), weight, bias, x.tensor(state).to_owned());
    (y.index_axis_move(Axis(1), 0), end)
}

/// The recurrence: `[T, I]`, and the state after it `[K, I]`.
fn scan<F: Real>(
    x: &Unit<'_, F>,
    u: &Array2<F>,
    step: &Array2<F>,
    b: &Array2<F>,
    c: &Array2<F>,
) -> (Array2<F>, Array2<F>) {
    let rates = x.matrix("A_log").mapv(F::exp);
    let mut h = x.matrix("h0").to_owned();
    let mut y = Array2::from_elem(u.raw_dim(), F::zero());
    for t in 0..x.tokens {
        for ((k, i), h_ki) in h.indexed_iter_mut() {
            let decay = (-(step[[t, i]] * rates[[i, k]])).exp();
            *h_ki = decay * *h_ki + b[[t, k]] * (step[[t, i]] * u[[t, i]]);
        }
        for (y_i, h_i) in y.row_mut(t).iter_mut().zip(h.columns()) {
            *y_i = F::dot(c.row(t), h_i);
        }
    }
    (y, h)
}

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mamba_layer",
    level: Level::Layer,
    summary: "h = exp(−Δ exp(A_log)) h + B (Δ u)ᵀ;  o = out_proj((hᵀ C + D u) * swish(z)), u, z, B, C and Δ of x",
    source: "Gu & Dao 2023 (arXiv 2312.00752), algorithm 2 and §3.4",
    upstream: &["fla.layers.Mamba"],
    sizes: dims![B, T, D, I, K, E, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("in_proj.weight[x]", dims![I, D], &[1, 1]),
        Port::weight("in_proj.weight[z]", dims![I, D], &[1, 1]),
        Port::bias("in_proj.bias[x]", dims![I], &[1]),
        Port::bias("in_proj.bias[z]", dims![I], &[1]),
        Port::weight("conv1d.weight", dims![I, W], &[1, 0, 1]),
        Port::bias("conv1d.bias", dims![I], &[1]),
        Port::weight("x_proj.weight[dt]", dims![E, I], &[1, 1]),
        Port::weight("x_proj.weight[B]", dims![K, I], &[1, 1]),
        Port::weight("x_proj.weight[C]", dims![K, I], &[1, 1]),
        Port::weight("dt_proj.weight", dims![I, E], &[1, 1]),
        Port::new("dt_proj.bias", dims![I], Domain::Uniform(-4.0, 0.0)),
        Port::new("A_log", dims![I, K], Domain::LogRate).single(),
        Port::new("D", dims![I], Domain::Normal),
        Port::weight("out_proj.weight", dims![D, I], &[1, 1]),
        Port::bias("out_proj.bias", dims![D], &[1]),
        Port::new("h0", dims![N, K, I], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("conv0", dims![N, I, W], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, K, I], Domain::Normal).single(),
        Port::new("convt", dims![N, I, W], Domain::Normal),
    ],
    attrs: &[Attr::word("hidden_act", &["silu", "relu", "sigmoid"], "after the convolution and on the gate")],
    constraints: &[],
    independent: dims![B],
    states: &[State::new("h0", "ht"), State::new("conv0", "convt")],
    function: function!(mamba_layer),
};
