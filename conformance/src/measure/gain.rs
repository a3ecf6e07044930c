//! How large an error may be that always goes the same way.

use reference::tensor::DType;

use super::Measure;

/// Largest mean gain, in units of the storage type's roundoff.
const GAIN: f64 = 0.1;

/// Standard errors below which a mean says nothing.
const DEVIATIONS: f64 = 4.5;

/// The mean of the gains of some replicates, that is of the parts of their errors that are proportional to the truth,
/// in units of the roundoff of `storage`. It is judged by the effect and by its significance: a good kernel's may be
/// significant, and a large one may be chance.
#[must_use]
pub fn gain(port: &str, replicates: &[f64], storage: DType) -> Measure {
    let n = replicates.len() as f64;
    let mean = replicates.iter().sum::<f64>() / n;
    let variance = replicates.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let u = storage.unit_roundoff();
    let bound = GAIN.max(DEVIATIONS * (variance / n).sqrt() / u);
    let (port, statistic) = (port.to_owned(), "gain".to_owned());
    Measure { port, statistic, error: mean.abs() / u, bound, relative: mean.abs(), at: Vec::new(), runs: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_is_found_and_scatter_is_none() {
        let u = DType::Bf16.unit_roundoff();
        let around = |mean: f64, scatter: f64| -> Vec<f64> {
            (0..24).map(|i| u * (mean + scatter * if i % 2 == 0 { 1.0 } else { -1.0 })).collect()
        };
        let within = |mean, scatter| gain("o", &around(mean, scatter), DType::Bf16).within();
        assert!(within(0.05, 0.01) && !within(0.2, 0.05) && within(0.2, 0.5));
        assert!(!gain("o", &[f64::NAN, 0.0], DType::Bf16).within());
    }

    #[test]
    fn effect_and_significance_are_plain_arithmetic() {
        let u = DType::F16.unit_roundoff();
        let found = gain("o", &[-3.0 * u, -u, -5.0 * u], DType::F16);
        // the mean is -3 u, the variance of one is 4 u², of the mean a third of it
        assert!((found.error - 3.0).abs() < 1e-12 && (found.relative - 3.0 * u).abs() < 1e-12 * u, "{found:?}");
        assert!((found.bound - DEVIATIONS * (4.0f64 / 3.0).sqrt()).abs() < 1e-12, "{found:?}");
        let one = gain("o", &[0.09 * u], DType::F16);
        assert!((one.bound - GAIN).abs() < 1e-12 && one.within(), "{one:?}");
    }
}
