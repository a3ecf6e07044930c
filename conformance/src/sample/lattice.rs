//! Numbers on which every sum and product is exact: [`Profile::Lattice`] and [`Profile::Counts`].
//!
//! Keys of unit length are one-hot, other keys have one or two ±1, values and states are small integers, gates are open
//! (0) or shut (−120, whose exponential no type holds), write strengths are 0 or 1. What the recurrence makes of them
//! are small integers, whatever order the terms are taken in. Without signs, and with gates that seldom shut, sums grow
//! beyond what an operand holds while operands stay as short as they were: a sum that is kept as short as
//! those shows.

use reference::spec::{Domain, Port};

use super::{Key, Profile, is_key};

/// A gate that leaves nothing: e⁻¹²⁰ is below every number of `f32`.
const SHUT: f64 = -120.0;

/// Numbers of a kind that has signs, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lattice {
    signs: bool,
}

impl Lattice {
    /// That of a profile, if it has one.
    pub(super) fn of(profile: Profile) -> Option<Self> {
        profile.is_exact().then_some(Self { signs: profile == Profile::Lattice })
    }

    /// The row of an input that begins with element `first`; `against` is the row of the input that it goes against.
    pub(super) fn fill(
        self,
        key: &Key,
        port: &Port,
        domain: Domain,
        first: usize,
        row: &mut [f64],
        against: Option<&[f64]>,
    ) {
        let width = row.len();
        match domain {
            Domain::UnitKey => self.hot(key, first, row, 1),
            Domain::Normal if is_key(port) => self.hot(key, first, row, 2),
            // the identity
            Domain::Covariance => {
                row.iter_mut().enumerate().for_each(|(j, x)| *x = f64::from(u8::from(first / width % width == j)));
            }
            _ => row.iter_mut().enumerate().for_each(|(j, x)| *x = self.point(key, first + j, domain)),
        }
        for (x, other) in row.iter_mut().zip(against.unwrap_or_default()) {
            *x *= -other;
        }
    }

    /// Up to `most` elements that are ±1.
    fn hot(self, key: &Key, first: usize, row: &mut [f64], most: usize) {
        row.fill(0.0);
        for n in 0..most {
            let word = key.word_at((first + n) as u64, 5);
            row[(word >> 8) as usize % row.len()] = if self.signs && word & 1 == 1 { -1.0 } else { 1.0 };
        }
    }

    fn point(self, key: &Key, i: usize, domain: Domain) -> f64 {
        let word = key.word_at(i as u64, 5);
        let one_in = |n: u64| word.is_multiple_of(n);
        match domain {
            Domain::LogDecay if one_in(if self.signs { 8 } else { 64 }) => SHUT,
            Domain::LogDecay | Domain::LogRate => 0.0,
            Domain::Fraction | Domain::Against(_) => f64::from(u8::from(!one_in(4))),
            Domain::Uniform(low, high) => between(word, low, high),
            Domain::Weight => [-1.0, 1.0].get(word as usize % 8).copied().unwrap_or(0.0),
            _ if self.signs => (word % 5) as f64 - 2.0,
            _ => (word % 4) as f64,
        }
    }

    /// A cotangent: one in four is ±1; without signs every other is 1.
    pub(super) fn cotangent(self, key: &Key, i: usize) -> f64 {
        let word = key.word_at(i as u64, 5);
        match self.signs {
            true => [-1.0, 1.0].get(word as usize % 8).copied().unwrap_or(0.0),
            false => (word % 2) as f64,
        }
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
