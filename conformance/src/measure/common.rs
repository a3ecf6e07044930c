//! How much of an error is one and the same in all of a region.
//!
//! A decay that a state shares is off once, and with it every element of the state; a key that is off is so for a whole
//! row of it. Such a region has fewer errors than elements, and chance makes more of few. If their variances are parts
//! λ of the whole, the lemma of the limits wants Σλ² and the largest λ, and rounded runs show both: the squared cosine
//! between two runs is Σλ² on the average, the product of the three cosines between three of them Σλ³, and Σλ³/Σλ² is
//! a λ, the largest if one stands out. Of the squared cosines of `p` pairs, `n` independent errors alone make at most
//! (1 + 2√(x/p) + 2x/p)/n, x = −ln [`CHANCE`] (the same lemma); what is not beyond that is taken for them.

use super::statistic::Regions;

/// How often what is independent may be taken for what is common.
const CHANCE: f64 = 1e-3;

/// Runs that are compared lie at most this far apart: all pairs of few runs, and of many as many as are needed.
const APART: usize = 2;

/// Σλ² and the largest λ of each region, from errors of several runs in units of σ; nothing where all errors are
/// independent.
pub(super) fn parts(regions: &Regions, shape: &[usize], runs: &[Vec<f64>]) -> Vec<[f64; 2]> {
    let places = regions.places(shape);
    let product = |a: &[f64], b: &[f64]| {
        let mut sums = vec![0.0; regions.count()];
        places.iter().zip(a.iter().zip(b)).for_each(|(&place, (a, b))| sums[place] += a * b);
        sums
    };
    let squares: Vec<Vec<f64>> = runs.iter().map(|z| product(z, z)).collect();
    let apart = |by: usize| -> Vec<Vec<f64>> { (by..runs.len()).map(|k| product(&runs[k - by], &runs[k])).collect() };
    let products: Vec<Vec<Vec<f64>>> = (1..=APART).map(apart).collect();
    let cosine = |i: usize, a: usize, b: usize| {
        let scale = (squares[a][i] * squares[b][i]).sqrt();
        (scale > 0.0).then(|| products[b - a - 1][a][i] / scale)
    };
    let of = |i: usize| {
        let pairs = (1..=APART).flat_map(|by| (by..runs.len()).map(move |k| (k - by, k)));
        let pairs: Vec<f64> = pairs.filter_map(|(a, b)| Some(cosine(i, a, b)?.powi(2))).collect();
        let three = |k: usize| Some(cosine(i, k, k + 1)? * cosine(i, k + 1, k + 2)? * cosine(i, k, k + 2)?);
        let threes: Vec<f64> = (0..runs.len().saturating_sub(APART)).filter_map(three).collect();
        part(&pairs, &threes, regions.units(i))
    };
    let parts: Vec<Option<[f64; 2]>> = (0..regions.count()).map(of).collect();
    if parts.iter().all(Option::is_none) {
        return Vec::new();
    }
    let known = |(i, part): (usize, Option<[f64; 2]>)| part.unwrap_or_else(|| independent(regions.units(i)));
    parts.into_iter().enumerate().map(known).collect()
}

/// The same of `units` independent errors.
pub(super) fn independent(units: usize) -> [f64; 2] {
    [1.0 / units.max(1) as f64; 2]
}

fn part(pairs: &[f64], threes: &[f64], units: usize) -> Option<[f64; 2]> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (p, x) = (pairs.len().max(1) as f64, -CHANCE.ln());
    let [least, _] = independent(units);
    let squares = mean(pairs).min(1.0);
    let chance = least * (1.0 + 2.0 * (x / p).sqrt() + 2.0 * x / p);
    // no part is larger than all squares together allow, nor is the largest smaller than their mean
    let largest = || (mean(threes) / squares).clamp(squares, squares.sqrt());
    (squares > chance).then(|| [squares, largest()])
}

#[cfg(test)]
mod tests {
    use reference::dims;

    use super::super::Statistic;
    use super::*;

    fn near(got: Option<[f64; 2]>, wanted: [f64; 2]) -> bool {
        got.is_some_and(|got| got.iter().zip(wanted).all(|(g, w)| (g - w).abs() < 1e-12))
    }

    #[test]
    fn what_chance_makes_of_independent_errors_is_nothing_in_common() {
        // four pairs of a hundred errors: chance is a hundredth of 1 + 2√(x/4) + 2x/4 = 7.082, x = ln 1000
        assert_eq!(part(&[0.08, 0.06, 0.08, 0.06], &[], 100), None);
        assert!(near(part(&[0.08, 0.06, 0.08, 0.064], &[], 100), [0.071, 0.071]));
        let x = -CHANCE.ln();
        let chance = 0.01 * (1.0 + 2.0 * (x / 1.0).sqrt() + 2.0 * x / 1.0);
        assert_eq!(part(&[chance], &[], 100), None, "the border belongs to chance");
        assert_eq!(part(&[], &[], 100), None);
    }

    #[test]
    fn the_largest_part_lies_between_the_mean_of_all_and_what_their_squares_allow() {
        let largest = |threes: &[f64]| part(&[0.25, 0.25], threes, 1000);
        assert!(near(largest(&[0.05, 0.15]), [0.25, 0.4]));
        assert!(near(largest(&[0.01]), [0.25, 0.25]) && near(largest(&[0.2]), [0.25, 0.5]));
        assert!(near(part(&[1.5], &[1.0], 1000), [1.0, 1.0]), "rounding makes no cosine larger than one");
    }

    #[test]
    fn cosines_are_those_of_each_region_whatever_the_size_of_the_runs() {
        // ones in 16, 12 and 8 places: the squared cosines are 12/16, 8/12 and 8/16, the root of their product is 1/2
        let run = |ones: usize, size: f64| -> Vec<f64> { (0..32).map(|i| if i < ones { size } else { 0.0 }).collect() };
        let found = Statistic::Row.common(dims![B, H, V], &[1, 2, 16], &[run(16, 1.0), run(12, 2.0), run(8, -3.0)]);
        let squares = (0.75 + 2.0 / 3.0 + 0.5) / 3.0;
        assert_eq!(found.len(), 2);
        assert!(near(Some(found[0]), [squares, 0.5 / squares]), "{found:?}");
        assert!(near(Some(found[1]), [1.0 / 16.0; 2]), "nothing is known of a head without errors: {found:?}");
    }
}
