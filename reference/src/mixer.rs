//! What many token mixers share: streams of heads, short convolutions on them, and the gated norm at the end.

use ndarray::{Array1, Array3, ArrayD, ArrayView2};

use crate::algebra::{elu_p1, gelu, heads, linear, log_sigmoid, matrix, rank, relu, squared_relu, swish, tanh};
use crate::modules::short_convolution;
use crate::real::Real;
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
pub fn convolve<F: Real>(x: &Unit<'_, F>, stream: &Array3<F>, name: &str, state: ArrayD<F>) -> (Array3<F>, ArrayD<F>) {
    let (tokens, count, width) = stream.dim();
    let weight = x.tensor(&format!("{name}.weight"));
    let (channels, taps) = (count * width, weight.shape()[2]);
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
        "logsigmoid" => log_sigmoid,
        "tanh" => tanh,
        "relu" => relu,
        "sqrelu" => squared_relu,
        "gelu" => gelu,
        "elu" | "elu_p1" => elu_p1,
        _ => panic!("no activation {word}"),
    }
}
