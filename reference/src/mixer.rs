//! What many token mixers share: streams of heads, short convolutions on them, and the gated norm at the end.

use ndarray::{
    Array, Array1, Array2, Array3, ArrayBase, ArrayD, ArrayView1, ArrayView2, ArrayViewD, Axis, Data, RemoveAxis,
};

use crate::algebra::{
    affine, bottleneck, elu_p1, gelu, heads, linear, log_sigmoid, matrix, rank, relu, squared_relu, swish, tanh, times,
};
use crate::call::Call;
use crate::modules::feature_map_t2r;
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::rotate;
use crate::modules::short_convolution;
use crate::ops;
use crate::real::Real;
use crate::spec::{Constraint, Dim};
use crate::unit::Unit;

/// A projection to heads: `[T, D]` by the weight `[H, K, D]` of that name is `[T, H, K]`; of `[R, H, K, D]`, `R·H`
/// heads.
pub fn project<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>, weight: &str) -> Array3<F> {
    let projected = linear(&hidden, x.tensor(weight));
    let shape = projected.shape();
    let (tokens, count, width) = (shape[0], shape[1..shape.len() - 1].iter().product(), shape[shape.len() - 1]);
    projected
        .into_shape_with_order((tokens, count, width))
        .expect("a projection has an axis for heads and one for channels")
}

/// One stream: projected by `<name>_proj.weight`; then, with the flag `use_short_conv`, convolved by
/// `<name>_conv1d.weight` and `<name>_conv1d.bias` from the state `<name>_conv0`. Gives the stream `[T, H, K]` without
/// activation, and the state after it `[H, K, W]`.
pub fn stream<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>, name: &str) -> (Array3<F>, ArrayD<F>) {
    let projected = project(x, hidden, &format!("{name}_proj.weight"));
    let state = x.tensor(&format!("{name}_conv0")).to_owned();
    if x.problem.flag("use_short_conv") {
        convolve(x, &projected, &format!("{name}_conv1d"), state)
    } else {
        (projected, state)
    }
}

/// `stream` `[T, H, K]` through the convolution `<name>.weight` `[H, K, W]` and `<name>.bias` `[H, K]` from `state`
/// `[H, K, W]`, without activation; and the state after it.
pub fn convolve<F: Real>(x: &Unit<'_, F>, stream: &Array3<F>, name: &str, state: ArrayD<F>) -> (Array3<F>, ArrayD<F>) {
    filter(stream, x.tensor(&format!("{name}.weight")), x.tensor(&format!("{name}.bias")), state)
}

/// `[T, H, K]` with every head `each` times in a row: what several query or value heads share.
pub fn repeat<F: Real>(stream: &Array3<F>, each: usize) -> Array3<F> {
    spread(stream, 1, each)
}

/// The activation that an attribute names; `none` is the identity.
///
/// # Panics
/// When there is none of that name: an attribute lists its words.
pub fn activation<F: Real>(word: &str) -> fn(F) -> F {
    match word {
        "none" | "identity" => |y| y,
        "swish" | "silu" => swish,
        "sigmoid" => F::sigmoid,
        "logsigmoid" => log_sigmoid,
        "tanh" => tanh,
        "relu" => relu,
        "sqrelu" => squared_relu,
        "gelu" => gelu,
        "elu" | "elu_p1" => elu_p1,
        _ => panic!("no activation {word}"),
    }
}

/// What `phi` makes of the channels of every head: `[T, H, K]` to `[T, H, M]`.
pub fn of_heads<F: Real>(y: &Array3<F>, phi: impl FnOnce(&Array2<F>) -> Array2<F>) -> Array3<F> {
    let (tokens, count, width) = y.dim();
    let features = phi(&matrix(y, tokens * count, width));
    let shape = (tokens, count, features.ncols());
    let elements = features.iter().copied().collect();
    Array3::from_shape_vec(shape, elements).expect("a row of features for each row of channels")
}

/// Features of queries or keys: with the flag `t2r` those of a learned layer without a bias, else what the attribute
/// `feature_map` names.
pub fn features<F: Real>(x: &Unit<'_, F>, y: &Array3<F>) -> Array3<F> {
    if x.problem.flag("t2r") {
        of_heads(y, |y| feature_map_t2r::features(y, x.tensor("feature_map.layer.weight"), None))
    } else {
        y.mapv(activation(x.problem.word("feature_map")))
    }
}

/// The streams q, k and v, `phi` on the former two and swish on v; and the states after their convolutions.
pub fn qkv<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>, phi: fn(F) -> F) -> ([Array3<F>; 3], [ArrayD<F>; 3]) {
    let [(q, q_conv), (k, k_conv), (v, v_conv)] = ["q", "k", "v"].map(|name| stream(x, hidden, name));
    ([q.mapv(phi), k.mapv(phi), v.mapv(swish)], [q_conv, k_conv, v_conv])
}

/// Every slice along an axis `each` times in a row.
pub fn spread<F: Real, S: Data<Elem = F>, D: RemoveAxis>(
    array: &ArrayBase<S, D>,
    axis: usize,
    each: usize,
) -> Array<F, D> {
    let indices: Vec<usize> = (0..array.shape()[axis] * each).map(|i| i / each).collect();
    array.select(Axis(axis), &indices)
}

/// The log decay of each head, `[T, HV]`: minus a rate, of which `rate` is the logarithm, times the softplus of a
/// projection and `bias`. Several heads may share a rate.
pub fn head_decay<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>, [weight, rate, bias]: [&str; 3]) -> Array2<F> {
    let (rate, bias) = (x.vector(rate), x.vector(bias));
    Call::of(&ops::gdn_gate::SPEC)
        .with("g", linear(&hidden, x.tensor(weight)))
        .with("A_log", spread(&rate, 0, bias.len() / rate.len()))
        .with("dt_bias", bias)
        .run()
        .matrix("o")
}

/// The log decay of each channel, `[T, H, K]`: Kimi delta attention's gate after the bottleneck `f_proj`, above
/// `lower_bound` where there is one.
pub fn channel_decay<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>) -> Array3<F> {
    let raw = bottleneck(&hidden, x.tensor("f_proj.0.weight"), x.tensor("f_proj.1.weight"));
    let gate = Call::of(&ops::kda_gate::SPEC)
        .with("g", raw)
        .with("A_log", x.vector("A_log"))
        .with("dt_bias", x.matrix("dt_bias"));
    match x.problem.number("lower_bound") {
        Some(bound) => gate.number("lower_bound", bound).run().cube("o"),
        None => gate.run().cube("o"),
    }
}

/// β in (0, 1), or in (0, 2) with the flag `allow_neg_eigval`: the sigmoid of a projection.
pub fn write_strength<F: Real>(x: &Unit<'_, F>, raw: ArrayD<F>) -> ArrayD<F> {
    let most = F::from_f64(if x.problem.flag("allow_neg_eigval") { 2.0 } else { 1.0 });
    raw.mapv_into(|b| most * b.sigmoid())
}

/// The gate `phi(g_proj x)` on outputs `[T, H, V]`.
pub fn output_gate<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>, phi: fn(F) -> F) -> Array3<F> {
    project(x, hidden, "g_proj.weight").mapv(phi)
}

/// The gate `σ(g_proj.1 g_proj.0 x + bias)` on outputs `[T, H, V]`.
pub fn bottleneck_gate<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>) -> Array3<F> {
    let inner: Array2<F> = rank(linear(&hidden, x.tensor("g_proj.0.weight")));
    rank(affine(&inner, x.tensor("g_proj.1.weight"), x.tensor("g_proj.1.bias"))).mapv_into(F::sigmoid)
}

/// What is added to the mean of squares in the norm of the outputs, unless `norm_eps` says otherwise.
pub const NORM_EPS: f64 = 1e-5;

/// The end of a mixer: `o` `[T, H, V]` normed by `o_norm.weight`, times its gate where there is one, projected by
/// `o_proj.weight`.
pub fn read_out<F: Real>(x: &Unit<'_, F>, o: &Array3<F>, gate: Option<Array3<F>>) -> ArrayD<F> {
    let eps = x.problem.number("norm_eps").unwrap_or(NORM_EPS);
    let normed = normalise(o, Some(x.tensor("o_norm.weight")), eps);
    let gated = match gate {
        Some(gate) => normed * gate,
        None => normed,
    };
    linear(&gated, x.tensor("o_proj.weight"))
}

/// Every key over the sum of its magnitudes, or over 10⁻⁶ where that is less.
pub fn sum_normalise<F: Real>(mut keys: Array3<F>) -> Array3<F> {
    for mut key in keys.lanes_mut(Axis(2)) {
        let sum: F = key.iter().map(|&k| if k.value() < 0.0 { -k } else { k }).sum();
        let sum = if sum.value() < SUM_EPS { F::from_f64(SUM_EPS) } else { sum };
        key.mapv_inplace(|k| k / sum);
    }
    keys
}

const SUM_EPS: f64 = 1e-6;

/// Every head's channels `[T, H, K]` by the same weight `[C, K]`: `[T, H, C]`.
pub fn within<F: Real>(stream: &Array3<F>, weight: ArrayViewD<'_, F>) -> Array3<F> {
    let (tokens, count, width) = stream.dim();
    let mapped = linear(&matrix(stream, tokens * count, width), weight.view());
    heads(&matrix(&mapped, tokens, count * weight.shape()[0]), count)
}

/// Every head of `o` normed by `g_norm_swish_gate.weight`, times the activation `gate_fn` of `g_proj.weight` by the
/// input.
pub fn gated_heads<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>, o: &Array3<F>, eps: f64) -> Array3<F> {
    let gate = project(x, hidden, "g_proj.weight").mapv(activation(x.problem.word("gate_fn")));
    normalise(o, Some(x.tensor("g_norm_swish_gate.weight")), eps) * gate
}

/// The logarithm of the forget gate `l + (1 - l) σ(z)`, no less than `l`, and what it leaves to the input,
/// `(1 - l) σ(-z)`.
pub fn forget<F: Real>(z: F, least: Option<F>) -> [F; 2] {
    match least {
        Some(l) => [(l + (F::one() - l) * z.sigmoid()).ln(), (F::one() - l) * (-z).sigmoid()],
        None => [log_sigmoid(z), (-z).sigmoid()],
    }
}

/// A state `[H, K, V]` of keys that turn with their position, seen from `steps` positions earlier.
pub fn turn<F: Real>(state: &Array3<F>, steps: f64, base: f64, interleaved: bool) -> Array3<F> {
    let mut turned = state.clone();
    for mut column in turned.axis_iter_mut(Axis(2)) {
        let keys = column.to_owned().insert_axis(Axis(0));
        column.assign(&rotate(&keys, base, steps, interleaved).index_axis(Axis(0), 0));
    }
    turned
}

/// `o` `[T, H, V]` normed over the channels of all heads together, times `weight` `[H, V]`.
pub fn norm_of_all<F: Real>(o: &Array3<F>, weight: ArrayViewD<'_, F>, eps: f64) -> Array3<F> {
    let (tokens, count, width) = o.dim();
    times(heads(&normalise(&matrix(o, tokens, count * width), None, eps), count), weight)
}

/// The heads share the channels of the model out among themselves.
#[must_use]
pub const fn shared_out(label: &'static str) -> Constraint {
    Constraint {
        label,
        text: "D is HV",
        holds: |p| p.size(Dim::D) == p.size(Dim::H).saturating_mul(p.size(Dim::V)),
        break_it: |p| p.sizes.extend([(Dim::H, 2), (Dim::V, 3), (Dim::D, 7)]),
        mend: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::H).saturating_mul(p.size(Dim::V))),
    }
}

/// The channels of a key head turn in pairs.
#[must_use]
pub const fn pairs(label: &'static str) -> Constraint {
    Constraint {
        label,
        text: "K is even",
        holds: |p| p.size(Dim::K).is_multiple_of(2),
        break_it: |p| _ = p.sizes.insert(Dim::K, 3),
        mend: |p| _ = p.sizes.insert(Dim::K, p.size(Dim::K).next_multiple_of(2)),
    }
}

/// Each head has its share of the channels of the model, of which some may remain.
#[must_use]
pub const fn share(label: &'static str) -> Constraint {
    Constraint {
        label,
        text: "V is D/H rounded down",
        holds: |p| p.size(Dim::D).checked_div(p.size(Dim::H)) == Some(p.size(Dim::V)),
        break_it: |p| p.sizes.extend([(Dim::H, 2), (Dim::V, 3), (Dim::D, 8)]),
        mend: |p| _ = p.sizes.insert(Dim::D, p.size(Dim::H).saturating_mul(p.size(Dim::V))),
    }
}

/// `stream` `[T, H, K]` through the convolution of `weight` `[H, K, W]` and `bias` `[H, K]` from `state` `[H, K, W]`,
/// without activation; and the state after it.
pub fn filter<F: Real>(
    stream: &Array3<F>,
    weight: ArrayViewD<'_, F>,
    bias: ArrayViewD<'_, F>,
    state: ArrayD<F>,
) -> (Array3<F>, ArrayD<F>) {
    let (tokens, count, width) = stream.dim();
    let (channels, taps) = (count * width, weight.shape()[weight.ndim() - 1]);
    let [flat, weight, start] =
        [matrix(stream, tokens, channels), matrix(&weight, channels, taps), matrix(&state, channels, taps)];
    let [y, end] = short_convolution::convolve(flat.view(), weight.view(), start.view());
    let bias: Array1<F> = bias.iter().copied().collect();
    let end = end.into_shape_with_order(state.raw_dim()).expect("the state after has the shape of the state before");
    (heads(&(y + bias), count), end)
}

/// The way from each token back to the one before it, `x[t − 1] − x[t]`, of which the first comes after `before`; and the
/// last token.
pub fn token_shift<F: Real>(x: ArrayView2<'_, F>, before: ArrayView1<'_, F>) -> (Array2<F>, Array1<F>) {
    let rows = |t: usize| if t == 0 { before } else { x.row(t - 1) };
    let delta = Array2::from_shape_fn(x.raw_dim(), |(t, i)| rows(t)[i] - x[[t, i]]);
    let last = x.rows().into_iter().next_back().map_or_else(|| before.to_owned(), |row| row.to_owned());
    (delta, last)
}
