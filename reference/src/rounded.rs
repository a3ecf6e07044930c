//! Rounding as a declared precision would do it: what that precision may cost.
//!
//! Operands of matrix products are rounded to the operand type, everything else to the accumulator's, at random and
//! without bias: up to half a unit in the last place is added before rounding to nearest, so that a number which the
//! type holds stays as it is. Per-token operands of an op are rounded even so, as kernels fold decays, norms and write
//! strengths into them; log decays are off as a cumulative sum over a chunk would leave them. Exponentials of equal
//! numbers are off by the same. What one kernel of a layer leaves to another is rounded to the storage type. States are
//! rounded as kernels round them that treat [`CHUNK`] tokens at once: what a chunk reads of the state before it,
//! forwards or backwards, is an operand, and what it makes of that another; what only decays across the chunk stays in
//! the accumulator. Several runs sample the error of *some* correct implementation at that precision; see the judge's
//! measure. Values are carried in `f64`.
//!
//! An error that is one of two values is rare where one of them is near, and few runs may miss it. Runs with the seeds
//! 1 to 4, 5 to 8, and so on therefore divide the chances of each rounding among them ([`STRATA`]): each has its quarter
//! of what may be added, and which one is up to the rounding (Latin hypercube sampling; McKay, Beckman & Conover 1979).

use std::cell::Cell;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

use ndarray::{ArrayBase, Axis, DataMut, Dimension};

use crate::real::Real;
use crate::unit::{Function, Outputs, Unit};

/// Tokens that kernels treat at once.
pub const CHUNK: usize = 64;

/// Runs that divide the chances of a rounding among them.
pub const STRATA: u64 = 4;

/// In how many orders they may do it: two bits for each run.
#[rustfmt::skip]
const ORDERS: [u8; 24] = [
    0b00_01_10_11, 0b00_01_11_10, 0b00_10_01_11, 0b00_10_11_01, 0b00_11_01_10, 0b00_11_10_01,
    0b01_00_10_11, 0b01_00_11_10, 0b01_10_00_11, 0b01_10_11_00, 0b01_11_00_10, 0b01_11_10_00,
    0b10_00_01_11, 0b10_00_11_01, 0b10_01_00_11, 0b10_01_11_00, 0b10_11_00_01, 0b10_11_01_00,
    0b11_00_01_10, 0b11_00_10_01, 0b11_01_00_10, 0b11_01_10_00, 0b11_10_00_01, 0b11_10_01_00,
];

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
    /// Where the roundings of a run have got to: the same in all that are compared. Apart because it changes with each.
    static STATE: Cell<u64> = const { Cell::new(0) };
    /// What this run makes of it.
    static KEY: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` on this thread under `rounding`, with a stream of its own for each `unit`.
pub(crate) fn with<R>(rounding: &Rounding, unit: u64, f: impl FnOnce() -> R) -> R {
    CURRENT.set(*rounding);
    KEY.set(mix(rounding.seed));
    STATE.set(mix(together(rounding.seed) ^ mix(unit.wrapping_add(1))) | 1);
    let result = f();
    STATE.set(0);
    CURRENT.set(NONE);
    result
}

/// Those among which a seed's run divides chances.
fn together(seed: u64) -> u64 {
    seed.wrapping_sub(1) / STRATA
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
    Some((rounding, dither(rounding.seed, s)))
}

/// The random number in [-1, 1) that the run of this seed has at an event: nothing for a seed of zero.
fn dither(seed: u64, event: u64) -> f64 {
    if seed == 0 {
        return 0.0;
    }
    let mut own = event ^ KEY.get();
    own = (own ^ (own >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    own ^= own >> 29;
    let within = (own >> 11) as f64 / (1u64 << 53) as f64;
    let order = ORDERS[(event >> 40) as usize % ORDERS.len()];
    let stratum = order >> (2 * (seed.wrapping_sub(1) % STRATA)) & 3;
    (f64::from(stratum) + within) * (2.0 / STRATA as f64) - 1.0
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
    let Some((Rounding { operand: u, seed, .. }, dither)) = next() else { return x };
    round(x, u, if seed == 0 { 0.0 } else { 2.0 * twice(x, dither) })
}

/// The sum of two roundings, of up to u·|x| and of up to half a unit in the last place, as one: at its `dither`-th
/// quantile, in such units.
fn twice(x: f64, dither: f64) -> f64 {
    let exponent = f64::from_bits(x.to_bits() & 0x7ff0_0000_0000_0000);
    // u·|x| in units in the last place
    let first = 0.5 * (x / exponent).abs();
    let (most, even) = (first + 0.5, (first - 0.5).abs());
    let end = most - (2.0 * (1.0 - dither.abs()) * first).sqrt();
    let size = if end >= even { end } else { dither.abs() * (most + even) / 2.0 };
    size.copysign(dither)
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

/// The exponential of `x`. A decay that is the same at every token is off the same way at every token: what [`ALIKE`] of
/// a number's bits are says by how much.
pub(crate) fn exponential(x: f64) -> f64 {
    let exact = x.exp();
    if !active() {
        return exact;
    }
    let Rounding { accumulate, seed, .. } = CURRENT.get();
    round(exact, accumulate, dither(seed, mix(x.to_bits() >> (64 - ALIKE) ^ together(seed) << ALIKE)))
}

/// Sign, exponent and leading digits: a logarithm that a sum has shifted is the same logarithm.
const ALIKE: u32 = 12 + 12;

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
        Self(exponential(self.0))
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
    fn four_runs_in_a_row_divide_the_chances_of_every_rounding() {
        let dithers = |seed| {
            let rounding = Rounding { operand: 1.0, accumulate: 0.0, seed };
            with(&rounding, 5, || (0..1000).map(|_| next().map_or(2.0, |(_, d)| d)).collect::<Vec<_>>())
        };
        let runs: Vec<Vec<f64>> = (5..9).map(dithers).collect();
        for event in 0..1000 {
            let mut strata: Vec<i64> = runs.iter().map(|run| (run[event] * 2.0).floor() as i64).collect();
            strata.sort_unstable();
            assert_eq!(strata, [-2, -1, 0, 1]);
        }
        let mean = |run: &[f64]| run.iter().sum::<f64>() / 1000.0;
        assert!(runs.iter().all(|run| mean(run).abs() < 0.1), "which stratum a run has is up to chance");
        let product = |a: &[f64]| a.iter().zip(&a[1..]).map(|(a, b)| a * b).sum::<f64>() / 1000.0;
        assert!(runs.iter().all(|run| product(run).abs() < 0.05), "from rounding to rounding");
        let far = dithers(5 + 8 * STRATA);
        let alike = far.iter().zip(&runs[0]).filter(|(a, b)| (*a * 2.0).floor() == (*b * 2.0).floor()).count();
        assert!((200..300).contains(&alike), "{alike} of 1000 strata are those of a run that is far away");
    }

    #[test]
    fn two_roundings_at_once_are_as_far_off_as_one_after_the_other() {
        let (u, runs) = (1.0 / 256.0, 400_000);
        for x in [1.0078125, 1.37109375, 1.9921875] {
            let rounding = |seed| Rounding { operand: u, accumulate: 0.0, seed };
            let moments = |read: &dyn Fn() -> f64, seed| {
                let errors: Vec<f64> = with(&rounding(seed), 0, || (0..runs).map(|_| (read() - x) / u).collect());
                let of = |power| errors.iter().map(|e: &f64| e.powi(power)).sum::<f64>() / f64::from(runs);
                [of(1), of(2), of(4)]
            };
            let at_once = moments(&|| read(x), 3);
            let in_turn = moments(&|| operand(x * (1.0 + u * next().map_or(0.0, |(_, d)| d))), 100);
            assert!(at_once[0].abs() < 0.02, "{at_once:?}");
            assert!((1..3).all(|i| (at_once[i] / in_turn[i] - 1.0).abs() < 0.03), "{at_once:?} {in_turn:?}");
        }
    }

    #[test]
    fn equal_exponents_are_off_by_the_same() {
        let rounding = |seed| Rounding { operand: 0.0, accumulate: 1.0 / 4096.0, seed };
        let of = |seed, x: f64| with(&rounding(seed), 0, || exponential(x) / x.exp() - 1.0);
        assert_eq!(of(3, -0.7), with(&rounding(3), 1, || (next(), exponential(-0.7)).1 / (-0.7f64).exp() - 1.0));
        let somewhere = |differ: &dyn Fn(f64) -> bool| (1..9).any(|i| differ(-0.1 * f64::from(i)));
        assert!(somewhere(&|x| (6..9).any(|seed| of(seed, x).signum() != of(5, x).signum())), "runs differ");
        assert!(somewhere(&|x| of(3, x).signum() != of(3, -0.7).signum()), "another number, another error");
        assert_eq!(of(3, 0.0), 0.0);
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
