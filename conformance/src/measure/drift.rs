//! How fast an error may grow with the length of a sequence.

use super::{FREEDOM, TAIL};

/// How much steeper a curve may be, in powers of the length.
const STEEPER: f64 = 0.15;

/// How much more an error may have grown from the first length to the last.
const GROWN: f64 = 2.0;

/// Errors at increasing lengths.
pub type Growth = [(f64, f64)];

/// The exponent of the error as a power of the length: the slope of a straight line through the logarithms. `None`
/// where fewer than two errors are positive.
#[must_use]
pub fn exponent(growth: &Growth) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        growth.iter().filter(|(_, e)| *e > 0.0 && e.is_finite()).map(|(t, e)| (t.ln(), e.ln())).collect();
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), p| (xy + (p.0 - x) * (p.1 - y), xx + (p.0 - x).powi(2)));
    (points.len() > 1).then(|| xy / xx)
}

/// Why an error is more than rounding explains: by far larger at last, or larger than few numbers may be by chance and
/// growing faster. What is no number is never explained, but lengths at which rounded runs have none either, because the
/// numbers grow beyond all bounds, say nothing.
#[must_use]
pub fn drifts(got: &Growth, ladder: &Growth) -> Option<String> {
    let known = ladder.iter().take_while(|(_, e)| e.is_finite()).count();
    let (got, ladder) = (&got[..known.min(got.len())], &ladder[..known]);
    if let Some((t, e)) = got.iter().find(|(_, e)| !e.is_finite()) {
        return Some(format!("the error at {t} tokens is {e}"));
    }
    let (Some(&(_, first)), Some(&(_, last))) = (got.first(), got.last()) else { return None };
    let &(_, least) = ladder.first()?;
    // that a longer sequence errs less is chance
    let most = ladder.iter().fold(0.0, |most: f64, (_, e)| most.max(*e));
    if last > FREEDOM * TAIL * most {
        return Some(format!("the error is {:.1} times what rounding explains", last / most));
    }
    if last <= TAIL * most {
        return None;
    }
    let (steep, explained) = (exponent(got)?, exponent(ladder).unwrap_or(0.0));
    if steep > explained + STEEPER {
        return Some(format!("the error grows as T^{steep:.2}, rounding explains T^{explained:.2}"));
    }
    let (grown, explained) = (last / first, most / least);
    (grown > GROWN * explained)
        .then(|| format!("the error grows by a factor of {grown:.1}, rounding explains {explained:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(power: f64, size: f64) -> Vec<(f64, f64)> {
        (8..=17).map(|k| f64::from(1 << k)).map(|t| (t, size * t.powf(power))).collect()
    }

    #[test]
    fn a_power_is_found() {
        assert!((exponent(&curve(0.6, 1e-6)).expect("a curve") - 0.6).abs() < 1e-12);
        assert_eq!(exponent(&[(256.0, 0.0), (512.0, 1e-7)]), None);
        let uneven = [(2.0, 1.0), (4.0, f64::INFINITY), (8.0, 4.0), (16.0, 16.0)];
        // powers of two: (1, 0), (3, 2), (4, 4), of which the slope is 9/7
        assert!((exponent(&uneven).expect("three points") - 9.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn each_rule_has_its_own_threshold() {
        let said = |got: &[f64], ladder: &[f64]| {
            let curve = |e: &[f64]| e.iter().zip([256.0, 65536.0]).map(|(e, t)| (t, *e)).collect::<Vec<_>>();
            drifts(&curve(got), &curve(ladder))
        };
        // over eight powers of two
        let steep = |power: f64| 256f64.powf(power);
        assert_eq!(
            said(&[1.0, 2.9], &[1.0, 1.0]).as_deref(),
            Some("the error grows as T^0.19, rounding explains T^0.00")
        );
        assert_eq!(said(&[1.0, 3.1], &[1.0, 1.0]).as_deref(), Some("the error is 3.1 times what rounding explains"));
        assert_eq!(said(&[1.5, 3.1], &[0.5, 1.1]), None, "no steeper than the ladder");
        assert_eq!(said(&[1.5, 3.0], &[0.5, 1.0]), None, "the border belongs to what rounding explains");
        let larger = |power: f64| said(&[2.6 / steep(power), 2.6], &[1.0, 1.0]);
        assert_eq!(larger(0.12), None);
        assert!(larger(0.16).is_some_and(|why| why.contains("T^0.16")));
        assert_eq!(said(&[1.9 / steep(0.16), 1.9], &[1.0, 1.0]), None, "no larger than chance");
        assert_eq!(said(&[1.0, 1.0], &[1.0, 1.0]), None);
        // nine powers of two are long enough for an error to double and be hardly steeper
        let grown = |first: f64| drifts(&[(1.0, first), (512.0, 2.6)], &[(1.0, 1.0), (512.0, 1.0)]);
        assert_eq!((grown(1.31), grown(1.3)), (None, None));
        assert!(grown(1.24).is_some_and(|why| why.contains("by a factor of 2.1, rounding explains 1.0")));
    }

    #[test]
    fn stagnation_and_a_coarse_state_drift_and_less_error_does_not() {
        let ladder = curve(0.1, 1e-3);
        assert!(drifts(&ladder, &ladder).is_none());
        assert!(drifts(&curve(0.2, 8e-4), &ladder).is_none(), "larger, but hardly steeper");
        assert!(drifts(&curve(0.5, 2e-5), &ladder).is_some_and(|why| why.contains("T^0.50")));
        assert!(drifts(&curve(0.1, 4e-3), &ladder).is_some_and(|why| why.contains("4.0 times")));
        assert!(drifts(&curve(0.5, 1e-6), &ladder).is_none(), "steep, but small");
        let mut jump = ladder.clone();
        jump.last_mut().expect("a curve").1 *= 2.5;
        assert!(drifts(&jump, &ladder).is_some_and(|why| why.contains("factor")));
        jump.last_mut().expect("a curve").1 = f64::NAN;
        assert!(drifts(&jump, &ladder).is_some());
        let mut endless = ladder.clone();
        endless.last_mut().expect("a curve").1 = f64::INFINITY;
        assert!(drifts(&jump, &endless).is_none(), "the numbers themselves grow beyond all bounds");
        assert!(drifts(&curve(0.1, 4e-3), &endless).is_some());
    }
}
