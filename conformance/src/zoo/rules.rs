//! What other projects call right, applied to the same answers: for comparison, never for a verdict.

use ndarray::{ArrayD, Zip};

/// An acceptance rule of another project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// fla's `assert_close` at its most frequent ratio: error RMS below 0.005 of the truth's.
    Fla,
    /// The same as its CI runs it: a failure only if the ratio is 0.01 or more and some error above 0.3.
    FlaCi,
    /// `KernelBench`: every error within 1e-2 + 1e-2 |truth|.
    KernelBench,
    /// `FlashAttention`: largest error at most twice that of plain code at the same precision.
    FlashAttention,
}

/// The ratio that fla's tests ask for most often, the one below which its CI never fails, and the error up to which it
/// never does.
const FLA: (f64, f64, f64) = (0.005, 0.01, 0.3);

/// Errors that fla's rule does not look at.
const FLA_NEGLIGIBLE: f64 = 1e-6;

/// Absolute and relative tolerance of `KernelBench`.
const KERNEL_BENCH: f64 = 1e-2;

/// Times the error of the same precision, of `FlashAttention`.
const FLASH_ATTENTION: f64 = 2.0;

impl Rule {
    /// Every rule.
    pub(super) const ALL: [Self; 4] = [Self::Fla, Self::FlaCi, Self::KernelBench, Self::FlashAttention];

    /// Name in records.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fla => "fla",
            Self::FlaCi => "fla_ci",
            Self::KernelBench => "kernel_bench",
            Self::FlashAttention => "flash_attention",
        }
    }

    /// Whether the rule accepts `got`; `same` is what plain code answers at the same precision.
    #[must_use]
    pub(super) fn accepts(self, truth: &ArrayD<f64>, got: &ArrayD<f64>, same: &ArrayD<f64>) -> bool {
        if truth.is_empty() {
            return true;
        }
        let error = got - truth;
        let (ratio, largest) = (root_mean_square(&error) / (root_mean_square(truth) + 1e-8), largest(&error));
        match self {
            Self::Fla => largest <= FLA_NEGLIGIBLE || ratio < FLA.0,
            Self::FlaCi => {
                let nan = got.iter().any(|y| y.is_nan());
                let lenient = ratio < FLA.1 || largest <= FLA.2;
                largest <= FLA_NEGLIGIBLE || !nan && (lenient || ratio < FLA.0)
            }
            Self::KernelBench => {
                Zip::from(&error).and(truth).all(|e, y| e.abs() <= KERNEL_BENCH + KERNEL_BENCH * y.abs())
            }
            Self::FlashAttention => largest <= FLASH_ATTENTION * self::largest(&(same - truth)),
        }
    }
}

fn root_mean_square(x: &ArrayD<f64>) -> f64 {
    (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
}

/// The largest magnitude; NaN when there is one.
fn largest(x: &ArrayD<f64>) -> f64 {
    x.iter().fold(0.0, |m: f64, x| if x.is_nan() || m.is_nan() { f64::NAN } else { m.max(x.abs()) })
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;

    fn accepted(truth: &[f64], got: &[f64], same: &[f64]) -> Vec<&'static str> {
        let [truth, got, same] = [truth, got, same].map(|x| arr1(x).into_dyn());
        Rule::ALL.into_iter().filter(|r| r.accepts(&truth, &got, &same)).map(Rule::name).collect()
    }

    #[test]
    fn each_rule_has_its_own_limit() {
        let truth = [1.0, -1.0];
        assert_eq!(accepted(&truth, &[1.001, -1.0], &[1.0, -1.001]).len(), 4);
        assert_eq!(accepted(&truth, &[1.009, -1.009], &[1.001, -1.0]), ["fla_ci", "kernel_bench"]);
        assert_eq!(accepted(&truth, &[1.25, -1.25], &[1.001, -1.0]), ["fla_ci"]);
        assert_eq!(accepted(&truth, &[1.4, -1.0], &[1.3, -1.0]), ["flash_attention"]);
        assert_eq!(accepted(&truth, &[0.0, 0.0], &[1.0, -1.001]), Vec::<&str>::new());
        assert_eq!(accepted(&[1e-9, 1e-9], &[0.0, 0.0], &[1e-9, 1e-9]), ["fla", "fla_ci", "kernel_bench"]);
    }

    #[test]
    fn nan_is_accepted_by_none() {
        assert!(accepted(&[1.0, 1.0], &[1.0, f64::NAN], &[1.5, 1.5]).is_empty());
    }
}
