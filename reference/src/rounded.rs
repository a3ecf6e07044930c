//! Rounding as a declared precision would do it: what that precision may cost.
//!
//! Operands of matrix products are rounded to the operand type, everything else to the accumulator's, at random and
//! without bias: up to half a unit in the last place is added before rounding to nearest, so that a number which the
//! type holds stays as it is. Per-token operands of an op are rounded even so, as kernels fold decays, norms and write
//! strengths into them; log decays are off as a cumulative sum over a chunk would leave them. What one kernel of a layer
//! leaves to another is rounded to the storage type. States are rounded as kernels round them that treat [`CHUNK`] tokens at once: what a chunk
//! reads of the state before it, forwards or backwards, is an operand, and what it makes of that another; what only decays
//! across the chunk stays in the accumulator. Several runs sample the error of *some* correct implementation at that precision; see
//! the judge's measure. Values are carried in `f64`.

use std::cell::Cell;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

use ndarray::{ArrayBase, Axis, DataMut, Dimension};

use crate::real::Real;
use crate::unit::{Function, Outputs, Unit};

/// Tokens that kernels treat at once.
pub const CHUNK: usize = 64;

/// A declared precision and the seed of its random roundings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounding {
    /// Unit roundoff of the operands of matrix products.
    pub operand: f64,
    /// Unit roundoff of all other arithmetic.
    pub accumulate: f64,
    /// Seed; the same seed gives the same roundings on any number of threads. Zero rounds to nearest, as plain code does.
    pub seed: u64,
}

/// The rounding in force on a thread. A seed of zero stands for none.
const NONE: Rounding = Rounding { operand: 0.0, accumulate: 0.0, seed: 0 };

thread_local! {
    static CURRENT: Cell<Rounding> = const { Cell::new(NONE) };
    /// The state of the random numbers, apart because it changes with each of them.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` on this thread under `rounding`, with a stream of its own for each `unit`.
pub(crate) fn with<R>(rounding: &Rounding, unit: u64, f: impl FnOnce() -> R) -> R {
    let seed = mix(rounding.seed ^ mix(unit.wrapping_add(1))) | 1;
    CURRENT.set(*rounding);
    STATE.set(seed);
    let result = f();
    STATE.set(0);
    CURRENT.set(NONE);
    result
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether a rounding is in force on this thread.
pub(crate) fn active() -> bool {
    STATE.get() != 0
}

/// The rounding in force with the next random number in [-1, 1), or nothing.
fn next() -> Option<(Rounding, f64)> {
    let mut s = STATE.get();
    if s == 0 {
        return None;
    }
    // xorshift64: the quality of these bits matters little, their cost much
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    STATE.set(s);
    let rounding = CURRENT.get();
    let dither = if rounding.seed == 0 { 0.0 } else { (s >> 11) as f64 * (2.0 / (1u64 << 53) as f64) - 1.0 };
    Some((rounding, dither))
}

/// `x` plus up to half a unit in its last place, rounded to the grid of a type with unit roundoff `u`. A number of
/// that type is returned as it is.
fn round(x: f64, u: f64, dither: f64) -> f64 {
    if u < FINEST {
        return x;
    }
    let exponent = f64::from_bits(x.to_bits() & 0x7ff0_0000_0000_0000);
    // adding and subtracting a large number rounds to its grid
    let grid = 1.5 * (1u64 << 53) as f64 * u * exponent;
    let rounded = (x + dither * u * exponent + grid) - grid;
    if rounded.is_nan() { x } else { rounded }
}

/// Types finer than this are not modelled: the carrier itself is `f64`.
const FINEST: f64 = 1e-12;

/// `x` as an operand of a matrix product, or as memory holds it.
pub(crate) fn operand(x: f64) -> f64 {
    next().map_or(x, |(r, dither)| round(x, r.operand, dither))
}

/// An element of a state as a chunk of tokens reads it and makes operands of what it reads.
pub(crate) fn read(x: f64) -> f64 {
    operand(next().map_or(x, |(r, dither)| x * (1.0 + r.operand * dither)))
}

/// What a sum that reached `x` in the accumulator is off by.
pub(crate) fn slip(x: f64) -> f64 {
    next().map_or(0.0, |(r, dither)| x * r.accumulate * dither)
}

/// Log decays, time along the first axis, as a cumulative sum over each chunk leaves them in a rounded run: off by the error of
/// the sum at one token minus that at the token before.
pub(crate) fn summed<F: Real, S: DataMut<Elem = F>, D: Dimension>(g: &mut ArrayBase<S, D>) {
    if !active() {
        return;
    }
    for mut lane in g.lanes_mut(Axis(0)) {
        for mut chunk in lane.axis_chunks_iter_mut(Axis(0), CHUNK) {
            let (mut sum, mut before) = (0.0, 0.0);
            for g in &mut chunk {
                sum += g.value();
                let error = slip(sum);
                *g = *g + F::from_f64(error - before);
                before = error;
            }
        }
    }
}

/// `x` as the result of elementwise arithmetic.
pub(crate) fn accumulated(x: f64) -> f64 {
    next().map_or(x, |(r, dither)| round(x, r.accumulate, dither))
}

/// A number whose arithmetic rounds; see the module documentation.
#[derive(Debug, Clone, Copy)]
pub struct Rounded(f64);

impl Add for Rounded {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self(accumulated(self.0 + o.0))
    }
}

impl Sub for Rounded {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Self(accumulated(self.0 - o.0))
    }
}

impl Mul for Rounded {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        Self(accumulated(self.0 * o.0))
    }
}

impl Div for Rounded {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        Self(accumulated(self.0 / o.0))
    }
}

impl Neg for Rounded {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Sum for Rounded {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self(0.0), Add::add)
    }
}

impl Real for Rounded {
    /// A constant, as the accumulator's type holds it.
    fn from_f64(x: f64) -> Self {
        Self(accumulated(x))
    }
    fn value(self) -> f64 {
        self.0
    }
    fn exp(self) -> Self {
        Self(accumulated(self.0.exp()))
    }
    fn ln(self) -> Self {
        Self(accumulated(self.0.ln()))
    }
    fn ln_1p(self) -> Self {
        Self(accumulated(self.0.ln_1p()))
    }
    fn of(function: &Function) -> fn(&Unit<'_, Self>) -> Outputs<Self> {
        function.rounded
    }
    fn sqrt(self) -> Self {
        Self(accumulated(self.0.sqrt()))
    }
    fn read(self) -> Self {
        Self(read(self.0))
    }
    fn stored(self) -> Self {
        Self(operand(self.0))
    }
    fn mac(self, a: Self, b: Self) -> Self {
        Self(accumulated(self.0 + operand(a.0) * operand(b.0)))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "a rounded number is one of two")]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_type_stays_and_others_go_to_a_neighbour() {
        let u = 1.0 / 256.0;
        for dither in [-0.99, -0.3, 0.0, 0.5, 0.99] {
            assert_eq!(round(1.9921875, u, dither), 1.9921875);
            assert_eq!(round(-3.0, u, dither), -3.0);
            let neighbour = round(1.001, u, dither);
            assert!(neighbour == 1.0 || neighbour == 1.0078125, "{neighbour}");
        }
        assert_eq!(round(0.0, u, 0.7), 0.0);
        assert_eq!(round(f64::INFINITY, u, 0.7), f64::INFINITY);
    }

    #[test]
    fn without_a_seed_it_is_the_arithmetic_of_f32() {
        let u = 2f64.powi(-24);
        let rounding = Rounding { operand: u, accumulate: u, seed: 0 };
        let (x, y, z) = (0.1f32, 1.0f32 / 3.0, -7.7f32);
        let plain = [x + y, x - z, x * y, x / z, (x + y) * z / x];
        let [a, b, c] = [x, y, z].map(|v| Rounded(f64::from(v)));
        let rounded = with(&rounding, 0, || [a + b, a - c, a * b, a / c, (a + b) * c / a]);
        assert_eq!(rounded.map(|r| r.0), plain.map(f64::from));
    }

    #[test]
    fn rounding_is_unbiased_and_repeatable() {
        let rounding = Rounding { operand: 1.0 / 256.0, accumulate: 0.0, seed: 7 };
        let mean = |unit| with(&rounding, unit, || (0..100_000).map(|_| operand(1.001)).sum::<f64>() / 100_000.0);
        assert!((mean(3) - 1.001).abs() < 1e-4, "{}", mean(3));
        assert_eq!(mean(3), mean(3));
        assert_ne!(mean(3), mean(4), "every unit has a stream of its own");
        assert_eq!(operand(1.001), 1.001, "nothing rounds outside");
    }
}
