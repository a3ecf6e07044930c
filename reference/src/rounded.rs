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

mod chance;

use std::cell::Cell;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

use ndarray::{ArrayBase, ArrayView1, Axis, DataMut, Dimension};

use crate::real::Real;
use crate::unit::{Function, Outputs, Unit};
pub use chance::STRATA;
use chance::{Run, mix};

/// Tokens that kernels treat at once.
pub const CHUNK: usize = 64;

/// A declared precision and the seed of its random roundings.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rounding {
    /// Unit roundoff of the operands of matrix products.
    pub operand: f64,
    /// The smallest normal number of their type: what is smaller has fewer digits. Zero where nothing is too small.
    pub least: f64,
    /// Unit roundoff of all other arithmetic.
    pub accumulate: f64,
    /// Seed; the same seed gives the same roundings on any number of threads. Zero rounds to nearest, as plain code does.
    pub seed: u64,
}

/// The rounding in force on a thread. A seed of zero stands for none.
const NONE: Run = Run::new(Rounding { operand: 0.0, least: 0.0, accumulate: 0.0, seed: 0 });

thread_local! {
    static RUN: Cell<Run> = const { Cell::new(NONE) };
    /// Where the roundings of a run have got to: the same in all that are compared. Apart because it changes with each.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Runs `f` on this thread under `rounding`, with a stream of its own for each `unit`.
pub(crate) fn with<R>(rounding: &Rounding, unit: u64, f: impl FnOnce() -> R) -> R {
    let run = Run::new(*rounding);
    RUN.set(run);
    STATE.set(mix(run.together ^ mix(unit.wrapping_add(1))) | 1);
    let result = f();
    STATE.set(0);
    RUN.set(NONE);
    result
}

/// Whether a rounding is in force on this thread.
#[inline]
pub(crate) fn active() -> bool {
    STATE.get() != 0
}

/// The roundings of a thread, in hand: a loop that makes many of them need not put each back.
pub(crate) struct Stream {
    run: Run,
    state: u64,
}

impl Stream {
    /// What `f` makes with the roundings of this thread, of which it must not ask for others meanwhile.
    #[inline]
    pub(crate) fn with<R>(f: impl FnOnce(&mut Self) -> R) -> R {
        let mut stream = Self { run: RUN.get(), state: STATE.get() };
        let result = f(&mut stream);
        STATE.set(stream.state);
        result
    }

    /// The next rounding's bits; zero where no rounding is in force.
    #[inline]
    fn event(&mut self) -> u64 {
        // xorshift64: the quality of these bits matters little, their cost much
        let mut s = self.state;
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        self.state = s;
        s
    }

    /// The next random number in [-1, 1), or nothing where no rounding is in force.
    #[inline]
    fn next(&mut self) -> Option<f64> {
        let event = self.event();
        (event != 0).then(|| self.run.dither(event))
    }

    /// `x` as an operand of a matrix product, or as memory holds it.
    #[inline]
    pub(crate) fn operand(&mut self, x: f64) -> f64 {
        let Rounding { operand, least, .. } = self.run.rounding;
        self.unless_held(x, operand, least)
    }

    /// `x` rounded: what the type holds, as it does every input, stays as it is whatever the random number.
    #[inline]
    fn unless_held(&mut self, x: f64, u: f64, least: f64) -> f64 {
        let event = self.event();
        if event == 0 || holds(u, least, x) {
            return x;
        }
        round(x, u, least, self.run.dither(event))
    }

    /// `x` as the result of elementwise arithmetic.
    #[inline]
    pub(crate) fn accumulated(&mut self, x: f64) -> f64 {
        let event = self.event();
        // nothing stays nothing: states that nobody has written, what passes a chunk by
        if event == 0 || x.to_bits() == 0 {
            return x;
        }
        round(x, self.run.rounding.accumulate, 0.0, self.run.dither(event))
    }

    /// One term more of a matrix product.
    #[inline]
    pub(crate) fn mac(&mut self, sum: f64, a: f64, b: f64) -> f64 {
        let term = self.operand(a) * self.operand(b);
        self.accumulated(sum + term)
    }

    /// An element of a state as a chunk of tokens reads it and makes operands of what it reads.
    pub(crate) fn read(&mut self, x: f64) -> f64 {
        let Some(dither) = self.next() else { return x };
        let Rounding { operand: u, least, seed, .. } = self.run.rounding;
        round(x, u, least, if seed == 0 { 0.0 } else { 2.0 * twice(x, least, dither) })
    }
}

/// `x` plus up to half a unit in its last place, rounded to the grid of a type with unit roundoff `u` and smallest
/// normal number `least`. A number of that type is returned as it is.
#[inline]
fn round(x: f64, u: f64, least: f64, dither: f64) -> f64 {
    if u < FINEST {
        return x;
    }
    let (exponent, grid) = (exponent(x, least), grid(x, u, least));
    let rounded = (x + dither * u * exponent + grid) - grid;
    if rounded.is_nan() { x } else { rounded }
}

/// Whether such a type holds `x`.
#[inline]
fn holds(u: f64, least: f64, x: f64) -> bool {
    let grid = grid(x, u, least);
    u < FINEST || ((x + grid) - grid).to_bits() == x.to_bits()
}

/// Adding and subtracting this large number rounds to the grid of `x`.
#[inline]
fn grid(x: f64, u: f64, least: f64) -> f64 {
    1.5 * (1u64 << 53) as f64 * u * exponent(x, least)
}

/// The power of two in `x`, or `least`.
#[inline]
fn exponent(x: f64, least: f64) -> f64 {
    f64::from_bits(x.to_bits() & 0x7ff0_0000_0000_0000).max(least)
}

/// Types finer than this are not modelled: the carrier itself is `f64`.
const FINEST: f64 = 1e-12;

/// See [`Stream::operand`].
#[inline]
pub(crate) fn operand(x: f64) -> f64 {
    Stream::with(|stream| stream.operand(x))
}

/// See [`Stream::accumulated`].
#[inline]
pub(crate) fn accumulated(x: f64) -> f64 {
    Stream::with(|stream| stream.accumulated(x))
}

/// See [`Stream::read`].
pub(crate) fn read(x: f64) -> f64 {
    Stream::with(|stream| stream.read(x))
}

/// The sum of two roundings, of up to u·|x| and of up to half a unit in the last place, as one: at its `dither`-th
/// quantile, in such units.
fn twice(x: f64, least: f64, dither: f64) -> f64 {
    // u·|x| in units in the last place
    let first = 0.5 * (x / exponent(x, least)).abs();
    let (most, even) = (first + 0.5, (first - 0.5).abs());
    let end = most - (2.0 * (1.0 - dither.abs()) * first).sqrt();
    let size = if end >= even { end } else { dither.abs() * (most + even) / 2.0 };
    size.copysign(dither)
}

/// What a sum that reached `x` in the accumulator is off by.
pub(crate) fn slip(x: f64) -> f64 {
    Stream::with(|stream| stream.next().map_or(0.0, |dither| x * stream.run.rounding.accumulate * dither))
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

/// The exponential of `x`. A decay that is the same at every token is off the same way at every token: what [`ALIKE`] of
/// a number's bits are says by how much.
pub(crate) fn exponential(x: f64) -> f64 {
    let exact = x.exp();
    if !active() {
        return exact;
    }
    let run = RUN.get();
    let event = mix(x.to_bits() >> (64 - ALIKE) ^ run.together << ALIKE);
    round(exact, run.rounding.accumulate, 0.0, run.dither(event))
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
        Self(Stream::with(|stream| stream.unless_held(x, stream.run.rounding.accumulate, 0.0)))
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
        Stream::with(|s| Self(s.mac(self.0, a.0, b.0)))
    }
    fn dot(a: ArrayView1<'_, Self>, b: ArrayView1<'_, Self>) -> Self {
        let zero = Self::zero();
        Stream::with(|s| Self(a.iter().zip(b).fold(zero.0, |sum, (a, b)| s.mac(sum, a.0, b.0))))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "a rounded number is one of two")]
mod tests;
