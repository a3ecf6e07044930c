//! The task: what was said once is asked again.
//!
//! A sequence first tells a value for each of [`KEYS`] keys, in random order, one symbol a pair; then keys are asked at
//! random, and the target is the value that was told. Who does not look back can do no better than [`chance`].

use ndarray::{ArrayD, Ix2};
use reference::tensor::Arrays;

use crate::sample::Key;

/// Keys of a sequence, each told once.
pub(super) const KEYS: usize = 4;

/// Values a key may have: the first symbols of the vocabulary.
const VALUES: usize = 4;

/// Symbols: a pair of key and value each, then the keys that are asked.
pub(super) const SYMBOLS: usize = KEYS * VALUES + KEYS;

/// A target that counts for nothing.
const NONE: f64 = -100.0;

/// The loss of who knows the task but does not look back.
pub(super) fn chance() -> f64 {
    (VALUES as f64).ln()
}

/// Symbols and targets of one step.
pub(super) fn batch(rows: usize, tokens: usize, seed: u64, step: usize) -> Arrays {
    let key = Key::new(&format!("copy {rows} {tokens} {seed} {step}"));
    let draw = |row: usize, i: usize, below: usize| {
        ((key.uniform((row * 4 * tokens + i) as u64) * below as f64) as usize).min(below - 1)
    };
    let mut symbols = ArrayD::zeros(&[rows, tokens][..]).into_dimensionality::<Ix2>().expect("rows of tokens");
    let mut targets = symbols.mapv(|_: f64| NONE);
    for row in 0..rows {
        let values: Vec<usize> = (0..KEYS).map(|k| draw(row, k, VALUES)).collect();
        let mut order: Vec<usize> = (0..KEYS).collect();
        (1..KEYS).for_each(|i| order.swap(i, draw(row, KEYS + i, i + 1)));
        for t in 0..tokens {
            let told = order.get(t).map(|&k| k * VALUES + values[k]);
            let asked = draw(row, 2 * KEYS + t, KEYS);
            symbols[[row, t]] = told.unwrap_or(KEYS * VALUES + asked) as f64;
            if told.is_none() {
                targets[[row, t]] = values[asked] as f64;
            }
        }
    }
    Arrays::from([("input_ids".to_owned(), symbols.into_dyn()), ("targets".to_owned(), targets.into_dyn())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_was_told() {
        let batch = batch(3, 16, 5, 7);
        let at = |name: &str, row: usize, t: usize| batch[name][[row, t]];
        for row in 0..3 {
            for t in KEYS..16 {
                let asked = at("input_ids", row, t) - (KEYS * VALUES) as f64;
                let pair = asked * VALUES as f64 + at("targets", row, t);
                assert!((0..KEYS).any(|s| at("input_ids", row, s).to_bits() == pair.to_bits()), "{row} {t}");
            }
        }
        assert!(batch["targets"].iter().filter(|&&y| y >= 0.0).count() == 3 * (16 - KEYS));
    }
}
