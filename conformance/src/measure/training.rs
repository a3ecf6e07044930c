//! How far two training runs may drift apart.

use reference::tensor::DType;

use super::statistic::largest;
use super::{TAIL, half_ulp, scale};

/// How far a curve of a training run may be from the exact one at each step: what single elements may be, of σ that is
/// the largest deviation, as a root mean square over rounded runs, so far. Errors of training only add up.
#[must_use]
pub fn corridor(exact: &[f64], samples: &[Vec<f64>], storage: DType) -> Vec<f64> {
    let most = largest(exact.len());
    let mut sigma: f64 = 0.0;
    let limit = |(t, y): (usize, &f64)| {
        let stored = half_ulp(DType::F32, *y).powi(2) / 3.0;
        let squares = samples.iter().map(|s| ((s[t] - y) * scale(storage)).powi(2));
        let mean = squares.sum::<f64>() / samples.len().max(1) as f64;
        sigma = sigma.max((mean + stored).sqrt());
        TAIL * most * sigma
    };
    exact.iter().enumerate().map(limit).collect()
}

/// The first step at which a curve is further from the exact one than its corridor is wide.
#[must_use]
pub fn parting(exact: &[f64], got: &[f64], corridor: &[f64]) -> Option<usize> {
    // what is no number is within nothing
    let within = |t: usize| got.get(t).is_some_and(|y| (y - exact[t]).abs() <= corridor[t]);
    (0..exact.len()).find(|&t| !within(t))
}

/// Largest corridor, relative to the loss at the start, in which a curve is still judged.
const WIDEST: f64 = 1.0 / 8.0;

/// Whether a corridor is so narrow that a curve could be outside of it.
#[must_use]
pub fn resolves(corridor: f64, start: f64) -> bool {
    corridor <= WIDEST * start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_parts_where_it_leaves_its_corridor() {
        let exact = vec![1.0, 0.5, 0.25];
        let corridor = corridor(&exact, &[vec![1.0, 0.51, 0.25], vec![1.0, 0.49, 0.25]], DType::F32);
        assert!(corridor[0] < 1e-5 && corridor[1] > 0.05 && corridor[2] >= corridor[1], "{corridor:?}");
        assert_eq!(parting(&exact, &[1.0, 0.53, 0.3], &corridor), None);
        assert_eq!(parting(&exact, &[1.001, 0.5, 0.25], &corridor), Some(0));
        assert_eq!(parting(&exact, &[1.0, f64::NAN, 0.25], &corridor), Some(1));
        assert_eq!(parting(&exact, &[1.0, 0.5], &corridor), Some(2));
    }

    #[test]
    fn a_corridor_is_as_wide_as_the_largest_deviation_so_far_allows() {
        let (exact, storage) = ([0.0, 0.0, 0.0], DType::F64);
        let samples =
            [vec![3.0, 6.0, 0.0], vec![-1.0, 8.0, 0.0]].map(|s| s.into_iter().map(|y| y / scale(storage)).collect());
        let deviations = [5f64.sqrt(), 50f64.sqrt(), 50f64.sqrt()];
        let found = corridor(&exact, &samples, storage);
        let wanted = deviations.map(|s| TAIL * largest(3) * s);
        assert!(found.iter().zip(wanted).all(|(f, w)| (f - w).abs() < 1e-9 * w), "{found:?}");
        // rounding of what is stored: half a unit in the last place of f32, over the root of three
        let stored = corridor(&[6.0], &[vec![6.0]], DType::F32)[0];
        let wanted = TAIL * largest(1) * 4.0 * 2f64.powi(-24) / 3f64.sqrt();
        assert!((stored - wanted).abs() < 1e-9 * wanted, "{stored}");
        assert!(corridor(&[0.0], &[], DType::F32)[0] == 0.0);
    }

    #[test]
    fn a_corridor_resolves_up_to_an_eighth_of_the_loss() {
        assert!(resolves(1.0, 8.0) && !resolves(1.001, 8.0) && !resolves(f64::NAN, 8.0));
        assert_eq!(parting(&[1.0], &[1.5], &[0.5]), None, "the border belongs to it");
    }
}
