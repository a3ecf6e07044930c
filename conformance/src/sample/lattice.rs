//! Numbers on which every sum and product is exact: [`Profile::Lattice`](super::Profile::Lattice).
//!
//! Keys of unit length are one-hot, other keys have one or two ±1, values and states are small integers, gates are open
//! (0) or shut (−120, whose exponential no type holds), write strengths are 0 or 1. What the recurrence makes of them
//! are small integers, whatever order the terms are taken in.

use reference::spec::{Domain, Port};

use super::{Key, is_key};

/// A gate that leaves nothing: e⁻¹²⁰ is below every number of `f32`.
const SHUT: f64 = -120.0;

/// The row of an input that begins with element `first`; `against` is the row of the input that it goes against.
pub(super) fn fill(key: &Key, port: &Port, domain: Domain, first: usize, row: &mut [f64], against: Option<&[f64]>) {
    let width = row.len();
    match domain {
        Domain::UnitKey => hot(key, first, row, 1),
        Domain::Normal if is_key(port) => hot(key, first, row, 2),
        // the identity
        Domain::Covariance => {
            row.iter_mut().enumerate().for_each(|(j, x)| *x = f64::from(u8::from(first / width % width == j)));
        }
        _ => row.iter_mut().enumerate().for_each(|(j, x)| *x = point(key, first + j, domain)),
    }
    for (x, other) in row.iter_mut().zip(against.unwrap_or_default()) {
        *x *= -other;
    }
}

/// Up to `most` elements that are ±1.
fn hot(key: &Key, first: usize, row: &mut [f64], most: usize) {
    row.fill(0.0);
    for n in 0..most {
        let word = key.word_at((first + n) as u64, 5);
        row[(word >> 8) as usize % row.len()] = if word & 1 == 1 { -1.0 } else { 1.0 };
    }
}

fn point(key: &Key, i: usize, domain: Domain) -> f64 {
    let word = key.word_at(i as u64, 5);
    let one_in = |n: u64| word.is_multiple_of(n);
    match domain {
        Domain::LogDecay if one_in(8) => SHUT,
        Domain::LogDecay | Domain::LogRate => 0.0,
        Domain::Fraction | Domain::Against(_) => f64::from(u8::from(!one_in(4))),
        Domain::Uniform(low, high) => between(word, low, high),
        Domain::Weight => [-1.0, 1.0].get(word as usize % 8).copied().unwrap_or(0.0),
        _ => (word % 5) as f64 - 2.0,
    }
}

/// One of the whole numbers between two, or of the halves where these are too few.
fn between(word: u64, low: f64, high: f64) -> f64 {
    let points = |grid: f64| {
        let (first, last) = ((low / grid).ceil() as i64, (high / grid).floor() as i64);
        (first..=last).map(|n| n as f64 * grid).collect::<Vec<f64>>()
    };
    let found = [1.0, 0.5].map(points).into_iter().find(|p| p.len() > 1).unwrap_or_else(|| vec![low]);
    found[word as usize % found.len()]
}

/// A cotangent: one in four is ±1.
pub(super) fn cotangent(key: &Key, i: usize) -> f64 {
    [-1.0, 1.0].get(key.word_at(i as u64, 5) as usize % 8).copied().unwrap_or(0.0)
}
