//! Agreement of two arrays that are equal but for the rounding of `f64`.

use ndarray::ArrayD;

/// Relative difference that the oracle's own identities may show.
pub(crate) const IDENTITY: f64 = 1e-11;

/// The largest magnitude; NaN when there is one.
pub(crate) fn largest(x: &ArrayD<f64>) -> f64 {
    x.iter().fold(0.0, |m: f64, x| if x.is_nan() { f64::NAN } else { m.max(x.abs()) })
}

/// Panics unless `got` and `expected` differ by at most [`IDENTITY`] of the largest expected magnitude, or of `beside`
/// when they are what remains of numbers as large as that.
pub(crate) fn assert_agree(what: &str, got: &ArrayD<f64>, expected: &ArrayD<f64>, beside: f64) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    let (error, scale) = (largest(&(got - expected)), beside + largest(expected));
    assert!(error <= IDENTITY * scale, "{what}: off by {error:e} where the largest is {scale:e}");
}
