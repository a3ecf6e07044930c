//! What many token mixers share: streams of heads, short convolutions on them, and the gated norm at the end.

use ndarray::{Array1, Array3, ArrayD, ArrayView2, ArrayViewD, Axis};

use crate::algebra::{elu_p1, heads, linear, log_sigmoid, matrix, rank, relu, swish, times};
use crate::modules::rms_norm::normalise;
use crate::modules::rotary::rotate;
use crate::modules::short_convolution;
use crate::real::Real;
use crate::spec::{Constraint, Dim};
use crate::unit::Unit;

/// A projection to heads: `[T, D]` by the weight `[H, K, D]` of that name is `[T, H, K]`.
pub fn project<F: Real>(x: &Unit<'_, F>, hidden: ArrayView2<'_, F>, weight: &str) -> Array3<F> {
    rank(linear(&hidden, x.tensor(weight)))
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
pub fn convolve<F: Real>(
    x: &Unit<'_, F>,
    stream: &Array3<F>,
    name: &str,
    state: ArrayD<F>,
) -> (Array3<F>, ArrayD<F>) {
    let (tokens, count, width) = stream.dim();
    let weight = x.tensor(&format!("{name}.weight"));
    let (channels, taps) = (count * width, weight.shape()[weight.ndim() - 1]);
    let [flat, weight, start] =
        [matrix(stream, tokens, channels), matrix(&weight, channels, taps), matrix(&state, channels, taps)];
    let [y, end] = short_convolution::convolve(flat.view(), weight.view(), start.view());
    let bias: Array1<F> = x.tensor(&format!("{name}.bias")).iter().copied().collect();
    let end = end.into_shape_with_order(state.raw_dim()).expect("the state after has the shape of the state before");
    (heads(&(y + bias), count), end)
}

/// `[T, H, K]` with every head `each` times in a row: what several query or value heads share.
pub fn repeat<F: Real>(stream: &Array3<F>, each: usize) -> Array3<F> {
    let (tokens, heads, width) = stream.dim();
    Array3::from_shape_fn((tokens, heads * each, width), |(t, h, i)| stream[[t, h / each, i]])
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
        "relu" => relu,
        "elu" => elu_p1,
        _ => panic!("no activation {word}"),
    }
}

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
