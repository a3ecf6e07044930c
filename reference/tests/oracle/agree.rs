//! How far two arrays may differ that are equal but for the rounding of `f64`.

use ndarray::ArrayD;

/// Relative difference that the oracle's own identities may show.
pub(crate) const IDENTITY: f64 = 1e-11;

/// The largest magnitude; NaN when there is one.
pub(crate) fn largest(x: &ArrayD<f64>) -> f64 {
    x.iter().fold(0.0, |m: f64, x| if x.is_nan() { f64::NAN } else { m.max(x.abs()) })
}
