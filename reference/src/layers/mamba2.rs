//! Mamba-2: heads that forget at one rate each, and whose keys and queries are shared by the heads of a group.
//!
//! $$ (z, x', B, C, \delta) = W_{in} x + b_{in}, \quad (x', B, C) \leftarrow \phi(\operatorname{conv}(x', B, C)), \quad
//! \Delta = \operatorname{softplus}(\delta + b_\Delta) $$
//! $$ h_t = e^{-\Delta_t e^{A}} h_{t-1} + \Delta_t B_t x'^\top_t, \qquad y_t = h_t^\top C_t + D\, x'_t, \qquad
//! o_t = W_{out} \big( \operatorname{RMSNorm}(y_t \odot \operatorname{swish}(z_t)) \big) + b_{out} $$
//!
//! with A = `A_log`, $b_\Delta$ = `dt_bias`, φ = `hidden_act` and Δ clamped to between `dt_limit_low` and
//! `dt_limit_high`. B and C, of width K, belong to a group, of which there are H; the HV heads have width V. The norm
//! runs over the channels of a group; with `norm_before_gate` the gate comes after it, without `rmsnorm` the gate φ(z)
//! is all. Well conditioned: all decays lie in (0, 1).
//!
//! # Errors
//! C1: HV is a multiple of H.
//!
//! Paper: Dao & Gu, *Transformers are SSMs*, 2024, eq. 16 and §7.
//! Upstream: `Mamba2` of `fla/layers/mamba2.py` in 0.6.0: `num_heads` is HV, `head_dim` V, `state_size` K, `n_groups`
//! H, `conv_kernel` W, `expand` HV·V/D, `dt_limit` the pair of limits, `D_has_hdim` the port `D[channels]`, the
//! presence of biases `use_conv_bias` and `use_bias`; its state is `[HV, V, K]`. The prefill without CUDA kernels gives
//! head j the group j mod H, where kernels, decoding and this layer say ⌊j·H/HV⌋, so that it is another function when 1
//! < H < HV. `cu_seqlens` is ignored; CUDA decoding ignores `dt_limit`, and CUDA kernels gate by swish without
//! `rmsnorm`. `chunk_size`, `backend`, `layer_idx` and the options of initialisation do not change values.

use ndarray::{Array2, Array3, ArrayD};

use crate::algebra::{affine, linear, matrix, plus, rank, swish, times};
use crate::call::Call;
use crate::mixer::{activation, filter, project, repeat};
use crate::modules::rms_norm::normalise;
use crate::ops;
use crate::real::Real;
use crate::spec::{Attr, Constraint, Dim, Domain, Level, OpSpec, Port, Presence, State};
use crate::unit::{Outputs, Unit};
use crate::{dims, function};

fn mamba2_layer<F: Real>(x: &Unit<'_, F>) -> Outputs<F> {
    let act = activation::<F>(x.problem.word("hidden_act"));
    let [(u, u_end), (b, b_end), (c, c_end)] =
        ["x", "B", "C"].map(|part| stream(x, part, x.tensor(&format!("{part}_conv0")).to_owned()));
    let [u, b, c] = [u, b, c].map(|stream| stream.mapv(act));
    let least = x.problem.number("dt_limit_low").unwrap_or(0.0);
    let most = x.problem.number("dt_limit_high").unwrap_or(f64::INFINITY);
    let step = step(x).mapv(|d| {
        let limited = d.value().max(least).min(most);
        if d.value() < least || d.value() > most { F::from_f64(limited) } else { d }
    });
    let each = x.problem.size(Dim::HV) / x.problem.size(Dim::H);
    let mut answers = Call::of(&ops::simple_gla::SPEC)
        .with("q", repeat(&c, each))
        .with("k", repeat(&b, each))
        .with("v", stretched(&u, &step))
        .with("g", log_decay(x, &step))
        .with("h0", x.cube("h0"))
        .number("scale", 1.0)
        .run();
    let y = answers.cube("o") + skipped(x, u);
    vec![finished(x, y, act), answers.take("ht"), u_end, b_end, c_end]
}

/// One part of the first projection, `[T, H, K]`; a weight for each head gives `[T, H, 1]`.
pub(super) fn part<F: Real>(x: &Unit<'_, F>, part: &str) -> Array3<F> {
    plus(project(x, x.matrix("x"), &format!("in_proj.weight[{part}]")), x.tensor(&format!("in_proj.bias[{part}]")))
}

/// A part that is convolved after `state`, without activation, and the state after it.
pub(super) fn stream<F: Real>(x: &Unit<'_, F>, name: &str, state: ArrayD<F>) -> (Array3<F>, ArrayD<F>) {
    let (weight, bias) = (x.tensor(&format!("conv1d.weight[{name}]")), x.tensor(&format!("conv1d.bias[{name}]")));
    filter(&part(x, name), weight, bias, state)
}

/// Δ, not limited: `[T, HV]`.
pub(super) fn step<F: Real>(x: &Unit<'_, F>) -> Array2<F> {
    let projected = rank(affine(&x.matrix("x"), x.tensor("in_proj.weight[dt]"), x.tensor("in_proj.bias[dt]")));
    plus::<F, ndarray::Ix2>(projected, x.tensor("dt_bias")).mapv(F::softplus)
}

/// `[T, HV]`.
pub(super) fn log_decay<F: Real>(x: &Unit<'_, F>, step: &Array2<F>) -> Array2<F> {
    step * &x.vector("A_log").mapv(|a| -a.exp())
}

/// A stream times the step of its token and head.
pub(super) fn stretched<F: Real>(u: &Array3<F>, step: &Array2<F>) -> Array3<F> {
    Array3::from_shape_fn(u.raw_dim(), |(t, h, j)| u[[t, h, j]] * step[[t, h]])
}

/// `D x`, one number for each head, or for each of its channels.
pub(super) fn skipped<F: Real>(x: &Unit<'_, F>, mut u: Array3<F>) -> Array3<F> {
    if x.problem.flag("D_has_hdim") {
        return times(u, x.tensor("D[channels]"));
    }
    let weight = x.vector("D");
    u.indexed_iter_mut().for_each(|((_, h, _), u)| *u = *u * weight[h]);
    u
}

/// Gated, normed and projected: `[T, D]`.
pub(super) fn finished<F: Real>(x: &Unit<'_, F>, y: Array3<F>, act: fn(F) -> F) -> ArrayD<F> {
    let z = part(x, "z");
    let eps = x.problem.number("norm_eps").unwrap_or(EPS);
    let groups = x.problem.size(Dim::H);
    let norm = |y: Array3<F>| -> Array3<F> {
        let grouped = matrix(&y, x.tokens * groups, y.len_of(ndarray::Axis(1)) * y.len_of(ndarray::Axis(2)) / groups);
        let normed = normalise(&grouped, None, eps);
        times(normed.into_shape_with_order(y.raw_dim()).expect("as many elements"), x.tensor("norm.weight"))
    };
    let y = match (x.problem.flag("rmsnorm"), x.problem.flag("norm_before_gate")) {
        (false, _) => y * z.mapv(act),
        (true, false) => norm(y * z.mapv(swish)),
        (true, true) => norm(y) * z.mapv(swish),
    };
    let o = rank::<F, ndarray::Ix2>(linear(&y, x.tensor("out_proj.weight")));
    plus(o, x.tensor("out_proj.bias")).into_dyn()
}

const EPS: f64 = 1e-5;

/// See the module documentation.
pub static SPEC: OpSpec = OpSpec {
    name: "mamba2_layer",
    level: Level::Layer,
    summary: "h = exp(−Δ exp(A_log)) h + Δ B xᵀ;  o = out_proj(rms_norm((hᵀ C + D x) * swish(z)))",
    source: "Dao & Gu 2024 (arXiv 2405.21060), eq. 16 and §7",
    upstream: &["fla.layers.Mamba2"],
    sizes: dims![B, T, D, HV, H, K, V, W],
    inputs: &[
        Port::new("x", dims![B, T, D], Domain::Normal),
        Port::weight("in_proj.weight[z]", dims![HV, V, D], &[2, 1]),
        Port::weight("in_proj.weight[x]", dims![HV, V, D], &[2, 1]),
        Port::weight("in_proj.weight[B]", dims![H, K, D], &[2, 1]),
        Port::weight("in_proj.weight[C]", dims![H, K, D], &[2, 1]),
        Port::weight("in_proj.weight[dt]", dims![HV, D], &[1, 1]),
        Port::bias("in_proj.bias[z]", dims![HV, V], &[2]),
        Port::bias("in_proj.bias[x]", dims![HV, V], &[2]),
        Port::bias("in_proj.bias[B]", dims![H, K], &[2]),
        Port::bias("in_proj.bias[C]", dims![H, K], &[2]),
        Port::bias("in_proj.bias[dt]", dims![HV], &[1]),
        Port::weight("conv1d.weight[x]", dims![HV, V, W], &[2, 0, 1]),
        Port::weight("conv1d.weight[B]", dims![H, K, W], &[2, 0, 1]),
        Port::weight("conv1d.weight[C]", dims![H, K, W], &[2, 0, 1]),
        Port::bias("conv1d.bias[x]", dims![HV, V], &[2]),
        Port::bias("conv1d.bias[B]", dims![H, K], &[2]),
        Port::bias("conv1d.bias[C]", dims![H, K], &[2]),
        Port::new("dt_bias", dims![HV], Domain::Uniform(-4.0, 0.0)).single(),
        Port::new("A_log", dims![HV], Domain::LogRate).single(),
        Port::new("D", dims![HV], Domain::Normal).unless("D_has_hdim"),
        Port::new("D[channels]", dims![HV, V], Domain::Normal).merged(&[2]).when("D_has_hdim"),
        Port::scale("norm.weight", dims![HV, V]).merged(&[2]).when("rmsnorm"),
        Port::weight("out_proj.weight", dims![D, HV, V], &[1, 2]),
        Port::bias("out_proj.bias", dims![D], &[1]),
        Port::new("h0", dims![N, HV, K, V], Domain::Normal).single().presence(Presence::OrZero),
        Port::new("x_conv0", dims![N, HV, V, W], Domain::Normal).presence(Presence::OrZero),
        Port::new("B_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero),
        Port::new("C_conv0", dims![N, H, K, W], Domain::Normal).presence(Presence::OrZero),
    ],
    outputs: &[
        Port::new("o", dims![B, T, D], Domain::Normal),
        Port::new("ht", dims![N, HV, K, V], Domain::Normal).single(),
        Port::new("x_convt", dims![N, HV, V, W], Domain::Normal),
        Port::new("B_convt", dims![N, H, K, W], Domain::Normal),
        Port::new("C_convt", dims![N, H, K, W], Domain::Normal),
    ],
    attrs: &[
        Attr::word("hidden_act", &["silu", "relu", "sigmoid"], "after the convolution"),
        Attr::flag("D_has_hdim", false, "the skip has a weight for each channel of a head"),
        Attr::flag("rmsnorm", true, "norm the gated outputs"),
        Attr::flag("norm_before_gate", false, "gate the normed outputs instead"),
        Attr::number("dt_limit_low", 0.0, 0.1, "least step"),
        Attr::auto("dt_limit_high", 0.5, "greatest step"),
        Attr::number("norm_eps", EPS, 0.25, "added to the mean of squares"),
    ],
    constraints: &[Constraint::grouped_values("C1")],
    independent: dims![B],
    states: &[
        State::new("h0", "ht"),
        State::new("x_conv0", "x_convt"),
        State::new("B_conv0", "B_convt"),
        State::new("C_conv0", "C_convt"),
    ],
    function: function!(mamba2_layer),
};
