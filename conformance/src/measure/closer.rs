//! A second look at what fails by no more than the floor itself may be off by.
//!
//! σ² is an average over ν = ν₀ + K squares, as its formula weighs them. If errors are normal, such an average is less
//! than a part `q` of what it estimates with a probability of (q e^{1−q})^{ν/2} at most (Chernoff's bound for χ² of ν
//! degrees of freedom). With a probability of [`ALPHA`], σ may thus be √q of what it should be, and a right answer 1/√q
//! times beyond its limit ([`margin`]). What is beyond it by less is judged again by the floor of [`MORE`] times as many
//! runs, the first ones among them, and that verdict counts. What is within its limit, what is further beyond, and what
//! is no number costs nothing more.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use reports::verdict::{Fault, Verdict};

use super::{ALPHA, MOST_SAMPLES, Measure, SAMPLES, Standard, prior};

/// How many times as many runs a second look has.
pub const MORE: u64 = 4;

// by its runs a second look is known
const _: () = assert!(MORE * SAMPLES > MOST_SAMPLES);

/// Steps after which the equation for `q` is solved to the last digit: each leaves a part `q` of the error.
const STEPS: usize = 200;

/// How far beyond its limit a right answer may be because the floor of so many runs is what it is.
#[must_use]
pub fn margin(runs: u64) -> f64 {
    let freedom = prior(runs) + runs as f64;
    let chance = -2.0 * ALPHA.ln() / freedom;
    // ln q + 1 − q = −chance
    let part = (0..STEPS).fold(0.0, |q: f64, _| (q - 1.0 - chance).exp());
    part.sqrt().recip()
}

/// Whether that may be why an answer failed. What is no number is never near.
pub(super) fn is_near(fault: &Fault, runs: u64) -> bool {
    let Fault::Inaccurate { worst, .. } = fault else { return false };
    Measure { bound: margin(runs) * worst.bound, ..worst.clone() }.within()
}

/// Whether some answer had a second look.
#[must_use]
pub fn looked_again(verdict: &Verdict) -> bool {
    let second = |m: &Measure| m.runs > MOST_SAMPLES;
    match verdict {
        Verdict::Pass { measures } => measures.iter().any(second),
        Verdict::Fail { fault: Fault::Inaccurate { worst, others, .. }, .. } => {
            second(worst) || others.iter().any(second)
        }
        _ => false,
    }
}

/// The standards of a question from more runs, by port, made when one of them is wanted and then kept.
#[derive(Clone)]
pub struct Closer(Arc<LazyLock<BTreeMap<String, Standard>, Make>>);

type Make = Box<dyn FnOnce() -> BTreeMap<String, Standard> + Send>;

impl Closer {
    /// What `make` will say.
    #[must_use]
    pub fn new(make: impl FnOnce() -> BTreeMap<String, Standard> + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }

    /// The standard of an output or gradient.
    #[must_use]
    pub fn standard(&self, port: &str) -> Option<&Standard> {
        self.0.get(port)
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closer")
    }
}

/// What is asked later is no part of what is known: standards with the same numbers are equal.
impl PartialEq for Closer {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ndarray::{ArrayD, IxDyn};
    use reference::dims;
    use reference::tensor::{DType, Tensor};

    use super::super::Subject;
    use super::*;

    const SHAPE: [usize; 4] = [1, 4, 1, 4];

    /// The floor of errors of this size, to both sides, of so many runs.
    fn standard(error: f64, runs: u64) -> Standard {
        let truth = ArrayD::from_elem(IxDyn(&SHAPE), 4.0);
        let sample = |k: u64| &truth + if k.is_multiple_of(2) { error } else { -error };
        let samples: Vec<ArrayD<f64>> = (0..runs).map(sample).collect();
        let (dims, dtype) = (dims![B, T, H, V], DType::F64);
        Standard::new(Subject { port: "o", dims, dtype, storage: DType::F32 }, truth, &samples)
    }

    /// An answer that is `times` as far off, everywhere, as the least number of runs allows; and what is said of it where
    /// more runs err by `closer` times as much, and how often they were asked for.
    fn judged(times: f64, closer: f64) -> (Result<Vec<Measure>, Fault>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let mut first = standard(ERROR, SAMPLES);
        let count = Arc::clone(&asked);
        first.closer = Some(Closer::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            BTreeMap::from([("o".to_owned(), standard(closer * ERROR, MORE * SAMPLES))])
        }));
        let wanted = first.measures(&first.sigma).iter().map(|m| m.error / m.bound).fold(0.0, f64::max);
        let answer = &first.truth + &(&first.sigma * (times / wanted));
        (first.judge(&Tensor::from_array(&answer, DType::F64)), asked.load(Ordering::Relaxed))
    }

    const ERROR: f64 = 1e-6;

    fn measure(error: f64, bound: f64) -> Measure {
        let (port, statistic) = ("o".to_owned(), "rms".to_owned());
        Measure { port, statistic, error, bound, relative: 0.0, at: Vec::new(), runs: SAMPLES }
    }

    #[test]
    fn the_margin_is_what_chance_makes_of_so_many_squares() {
        for (runs, freedom) in [(4, 8.0), (12, 24.0), (48, 96.0)] {
            let part: f64 = margin(runs).powi(-2);
            let chance = (part * (1.0 - part).exp()).powf(freedom / 2.0);
            assert!(part < 1.0 && (chance / ALPHA - 1.0).abs() < 1e-9, "{runs} runs: {part}");
        }
        assert!((margin(12) - 2.74).abs() < 0.01, "{}", margin(12));
    }

    #[test]
    fn what_is_within_its_limit_or_far_beyond_is_looked_at_once() {
        let far = margin(SAMPLES);
        for (times, right) in [(0.0, true), (0.999, true), (1.001 * far, false), (1e6 * far, false)] {
            // by the second floor, the other way round
            let closer = if right { 1e-6 } else { 1e12 };
            let (found, asked) = judged(times, closer);
            assert_eq!((found.is_ok(), asked), (right, 0), "{times}: {found:?}");
        }
    }

    #[test]
    fn of_what_is_near_the_second_look_decides() {
        for times in [1.001, 2.0, 0.999 * margin(SAMPLES)] {
            for (closer, right) in [(2.0 * times, true), (0.5 * times, false)] {
                let (found, asked) = judged(times, closer);
                let measures = found.clone().unwrap_or_else(|fault| match fault {
                    Fault::Inaccurate { worst, others, .. } => std::iter::once(worst).chain(others).collect(),
                    other => panic!("{other:?}"),
                });
                assert_eq!((found.is_ok(), asked), (right, 1), "{times}, {closer}: {found:?}");
                assert!(measures.iter().all(|m| m.runs == MORE * SAMPLES), "{measures:?}");
                let told = |found| {
                    looked_again(&match found {
                        Ok(measures) => Verdict::Pass { measures },
                        Err(fault) => Verdict::Fail { fault, call: 0 },
                    })
                };
                assert!(told(found) && !told(judged(0.5, closer).0) && !told(judged(1e6, closer).0));
            }
        }
    }

    #[test]
    fn what_is_no_number_has_no_second_look() {
        let near = |error: f64, bound: f64| {
            let worst = measure(error, bound);
            is_near(&Fault::Inaccurate { worst, others: Vec::new(), heat: Vec::new() }, SAMPLES)
        };
        assert!(near(2.0, 1.0));
        assert!(!near(f64::NAN, 1.0) && !near(f64::INFINITY, 1.0) && !near(2.0, f64::NAN));
        let (found, asked) = judged(f64::NAN, 1e12);
        assert!(matches!(found, Err(Fault::NonFinite { .. })) && asked == 0, "{found:?}");
        assert!(!is_near(&Fault::Malformed { message: "no".into() }, SAMPLES));
    }

    #[test]
    fn a_second_look_is_known_by_its_runs() {
        let told = |runs| looked_again(&Verdict::Pass { measures: vec![Measure { runs, ..measure(1.0, 2.0) }] });
        assert_eq!([0, SAMPLES, MOST_SAMPLES, MORE * SAMPLES].map(told), [false, false, false, true]);
        let fault = |last| {
            let [worst, other] = [SAMPLES, last].map(|runs| Measure { runs, ..measure(2.0, 1.0) });
            let (others, heat) = (vec![other], Vec::new());
            Verdict::Fail { fault: Fault::Inaccurate { worst, others, heat }, call: 0 }
        };
        assert!(looked_again(&fault(MORE * SAMPLES)) && !looked_again(&fault(SAMPLES)));
        assert!(!looked_again(&Verdict::Mistrusted { reason: "no".into() }));
    }

    #[test]
    fn answers_that_are_judged_together_share_one_look() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let closer = Closer::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            BTreeMap::from(["o", "ht"].map(|port| (port.to_owned(), standard(ERROR, SAMPLES))))
        });
        let copy = closer.clone();
        assert!(closer.standard("o").is_some() && copy.standard("ht").is_some() && copy.standard("d_q").is_none());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
