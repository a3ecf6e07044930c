//! What layers of softmax attention share: heads with biases and norms, positions, windows, and what their sizes obey.

use ndarray::{Array, Array3, Axis, Dimension};

use crate::algebra::{self, linear, rank};
use crate::call::Call;
use crate::modules::rms_norm::normalise;
use crate::modules::rotary;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Constraint, Dim, Value};
use crate::unit::{Outputs, Unit};

/// What `<name>_proj.weight` and `<name>_proj.bias` make of `x`: a number for each head `[T, H]`, or heads.
pub fn biased<F: Real, D: Dimension>(x: &Unit<'_, F>, name: &str) -> Array<F, D> {
    let [weight, bias] = ["weight", "bias"].map(|part| x.tensor(&format!("{name}_proj.{part}")));
    rank(algebra::affine(&x.matrix("x"), weight, bias))
}

/// The same, of heads `[T, H, K]`.
pub fn affine<F: Real>(x: &Unit<'_, F>, name: &str) -> Array3<F> {
    biased(x, name)
}

/// The same, with the flag `qk_norm` each head over its root mean square and times `<name>_norm.weight`.
pub fn normed<F: Real>(x: &Unit<'_, F>, name: &str, eps: f64) -> Array3<F> {
    let heads = affine(x, name);
    if x.problem.flag("qk_norm") {
        normalise(&heads, Some(x.tensor(&format!("{name}_norm.weight"))), eps)
    } else {
        heads
    }
}

/// [`normed`], and turned by its position in halves, with the base `rope_theta`.
pub fn positioned<F: Real>(x: &Unit<'_, F>, name: &str) -> Array3<F> {
    turned(x, &normed(x, name, EPS))
}

/// Turned by its position in halves, with the base `rope_theta`.
pub fn turned<F: Real>(x: &Unit<'_, F>, heads: &Array3<F>) -> Array3<F> {
    rotary::rotate(heads, x.problem.number("rope_theta").unwrap_or(rotary::BASE), 0.0, false)
}

/// Turned by its position in pairs of neighbours, with the base `rope_theta`; `rope_inv_freq` says how the frequencies
/// go down from 1: towards the inverse of the base, or with `yoco` to it.
pub fn turned_by_neighbours<F: Real>(x: &Unit<'_, F>, heads: &Array3<F>) -> Array3<F> {
    let base = x.problem.number("rope_theta").unwrap_or(rotary::BASE);
    let half = heads.len_of(Axis(2)) / 2;
    let steps = if x.problem.word("rope_inv_freq") == "yoco" { half.saturating_sub(1).max(1) } else { half };
    rotary::rotate_by(heads, |i| rotary::frequency(base, i as f64 / steps as f64), 0.0, true)
}

/// The same question with the window of the layer, where it has one.
pub fn windowed<F: Real>(x: &Unit<'_, F>, call: Call<F>) -> Call<F> {
    match x.problem.number("window_size") {
        Some(window) => call.number("window", window),
        None => call,
    }
}

/// The heads through `o_proj.weight`, the only output of a layer.
pub fn out<F: Real>(x: &Unit<'_, F>, heads: &Array3<F>) -> Outputs<F> {
    vec![linear(heads, x.tensor("o_proj.weight"))]
}

/// What upstream's norms add to the mean of squares unless told otherwise.
pub const EPS: f64 = 1e-5;

/// Together, query heads are as wide as the model.
#[must_use]
pub const fn as_wide_as_the_model(label: &'static str) -> Constraint {
    Constraint {
        label,
        text: "D equals HQ times K",
        holds: |p| p.size(Dim::HQ).checked_mul(p.size(Dim::K)) == Some(p.size(Dim::D)),
        break_it: |p| _ = p.sizes.insert(Dim::D, width(p).saturating_add(1)),
        mend: |p| _ = p.sizes.insert(Dim::D, width(p)),
    }
}

fn width(p: &Problem) -> usize {
    p.size(Dim::HQ).saturating_mul(p.size(Dim::K))
}

/// Channels turn in pairs.
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

/// A window has a token.
#[must_use]
pub const fn window(label: &'static str) -> Constraint {
    Constraint {
        label,
        text: "window_size is a whole number of at least 1",
        holds: |p| p.number("window_size").is_none_or(|w| w >= 1.0 && w.fract() <= 0.0),
        break_it: |p| _ = p.attrs.insert("window_size", Value::Number(0.0)),
        mend: |p| _ = p.attrs.remove("window_size"),
    }
}
