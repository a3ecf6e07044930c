//! How far from the truth is too far. The only tolerances of the suite are here.
//!
//! # Model
//! Let `y*` be the `f64` truth on the inputs as stored. Each element has a scale σ, the error that the *declared
//! precision* causes there:
//!
//! σ² = (ν₀ σ₀² + Σₖ sₖ²) / (ν₀ + K) + (half a unit in the last place of y* in the answer's type)² / 3
//!
//! where `sₖ` is the error of the k-th of `K` runs ([`samples`]) of the oracle at [`Rounding`] (operands of products
//! rounded at random to the storage type, also those that it holds, as kernels fold decays into them; other arithmetic
//! rounded to `f32`; states read as operands once a [`CHUNK`], and log decays shifted as a cumulative sum over one in
//! `f32` would shift them), σ₀² is the mean of s² in the element's neighbourhood (its row or sequence, its head,
//! [`CHUNK`] tokens), ν₀ = [`PRIOR`], and the last term is the variance of rounding the answer. Nothing is resolved
//! below the smallest positive number of the storage type, where operands vanish: it is added to σ. (That matters for
//! `f16` alone, at 6e-8.) With z = (ŷ − y*) / σ, each [`Statistic`] of each output and each gradient is measured: the
//! root mean square and the largest |z| of the whole, and the root mean square of the worst region, so that a fault in
//! one place is not thinned out by what is right elsewhere: a head's chunk of tokens (`block`), its state (`state`), 16
//! by 16 of its elements (`tile`), one of its tokens (`row`).
//!
//! # Limits
//! If the errors were independent and normal, the root mean squares of `n` of them in `m` regions were at most √(1 +
//! 2√(x/n) + 2x/n) with x = ln m/α (Laurent & Massart 2000, lemma 1), and the maximum of `n` of them at most √(2
//! ln(2n/α)), with probability 1 − α, α = [`ALPHA`]. They are neither quite: errors spread through the state, so in a
//! root mean square `n` counts the tokens of a chunk as one; what the samples show to be one error in many places counts
//! as one (`common`, the same lemma with unequal weights; of more than [`SAMPLES`] samples, for fewer do not know); and
//! each sample is also judged against the others, and the worst held-out value of four replaces the quantile when it is
//! larger, up to [`HELD_OUT_CAP`] times it. The limit is [`FREEDOM`] times that: an implementation may order its sums as
//! it likes and round at places of its own. For single elements, tiles and tokens it is [`TAIL`] times: σ is itself an
//! estimate from few runs, and an implementation that
//! treats a chunk at once commits the errors of the chunk's largest terms, which the recurrence has shrunk by the next
//! token. Rounding at random also knows nothing of a sum that errs the same way every time; so a limit is at least
//! [`FREEDOM`] times what the recurrence itself shows, forwards and backwards, when it is run in plain `f32`, rounding
//! to nearest.
//!
//! What is beyond a limit by less than the few runs behind σ explain has a second look, by [`MORE`] times as many, and
//! that one counts ([`margin`]).
//!
//! Beside the statistics of one answer there are [`gain()`], over the heads of several calls, for what always errs to
//! the same side; [`drifts`], over lengths, for what errs more and more; and none at all on the lattice, where answers
//! are exact if they survive the rounding of [`coarse`].
//!
//! An element whose truth and whose floor are zero must be zero. A case whose floor exceeds [`cap`] relative to the
//! truth, or a gradient's [`GRADIENT_CAP`], is not judged: it could not fail.

mod closer;
mod common;
mod drift;
mod gain;
mod precision;
mod statistic;
mod training;

pub use closer::{Closer, MORE, looked_again, margin};
pub use drift::{Growth, drifts, exponent};
pub use gain::gain;
use ndarray::{ArrayD, Zip};
pub use precision::{PLAIN, coarse, far, flushed, rounding, roundings, scale};
use precision::{half_ulp, vanishes};
#[cfg(doc)]
use reference::rounded::CHUNK;
#[cfg(doc)]
use reference::rounded::Rounding;
use reference::spec::Dim;
use reference::tensor::{DType, Tensor};
use reports::verdict::Fault;
pub use reports::verdict::Measure;
pub use statistic::Statistic;
use statistic::{Regions, granted};
pub use training::{corridor, parting, resolves};

/// Rounded runs behind a floor, at least.
pub const SAMPLES: u64 = 4;

/// And at most: of few numbers few runs know too little, and more of them cost next to nothing.
pub const MOST_SAMPLES: u64 = 12;

/// Products that the runs of one question may have together before there are no more than [`SAMPLES`].
const WORK: usize = 1 << 22;

/// Rounded runs behind the floor of a question with that many products.
#[must_use]
pub fn samples(products: usize) -> u64 {
    (WORK / products.max(1)).try_into().unwrap_or(u64::MAX).clamp(SAMPLES, MOST_SAMPLES)
}

/// How many times the least number of runs.
fn times(runs: u64) -> f64 {
    (runs as f64 / SAMPLES as f64).max(1.0)
}

/// Weight of the neighbourhood, in samples of [`SAMPLES`]; where there are more, as many times more: what another
/// implementation errs by in one place, it is known by in its neighbourhood, however well the oracle's own error is.
pub const PRIOR: f64 = 4.0;

/// The same of so many runs.
fn prior(runs: u64) -> f64 {
    PRIOR * times(runs)
}

/// Chance that a right answer fails one statistic.
pub const ALPHA: f64 = 1e-6;

/// What an implementation's own choice of order and of rounding places may cost.
pub const FREEDOM: f64 = 1.5;

/// The same for single elements.
pub const TAIL: f64 = 2.0;

/// How much more than the quantile a held-out sample may grant.
pub const HELD_OUT_CAP: f64 = 2.0;

/// Largest floor, relative to the truth, of a gradient that is judged.
pub const GRADIENT_CAP: f64 = 1.0 / 8.0;

/// Largest floor, relative to the truth, of an output that is judged.
#[must_use]
pub fn cap(storage: DType) -> f64 {
    match storage {
        DType::Bf16 => 1.0 / 32.0,
        DType::F16 => 1.0 / 128.0,
        DType::F32 => 1.0 / 16384.0,
        DType::F64 | DType::I64 => 1e-10,
    }
}

/// What a right answer is, element by element, and how far from it one may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Standard {
    /// Output (`o`) or gradient (`d_q`).
    pub port: String,
    /// Symbolic shape.
    pub dims: &'static [Dim],
    /// Element type of a right answer.
    pub dtype: DType,
    /// The exact answer.
    pub truth: ArrayD<f64>,
    /// The scale of each element's error.
    pub sigma: ArrayD<f64>,
    /// What is measured, and how far it may reach.
    pub limits: Vec<Limit>,
    /// Why nothing can be judged by it.
    pub doubt: Option<String>,
    /// Rounded runs that it rests on.
    pub runs: u64,
    /// The same from more of them, for what fails by little.
    pub closer: Option<Closer>,
}

/// How far one statistic may reach.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// What is measured.
    pub statistic: Statistic,
    /// How many of its quantiles it may reach.
    pub quantiles: f64,
    /// The parts that independent errors have of each region's variance: the sum of their squares, and the largest; empty
    /// where every element has its own.
    pub common: Vec<[f64; 2]>,
}

/// What a [`Standard`] is made for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Output (`o`) or gradient (`d_q`).
    pub port: &'a str,
    /// Symbolic shape.
    pub dims: &'static [Dim],
    /// Element type of a right answer.
    pub dtype: DType,
    /// Storage type of the case.
    pub storage: DType,
}

impl Standard {
    /// The standard from the truth and from rounded runs.
    #[must_use]
    pub fn new(subject: Subject<'_>, truth: ArrayD<f64>, samples: &[ArrayD<f64>]) -> Self {
        let errors: Vec<ArrayD<f64>> = samples.iter().map(|s| (s - &truth) * scale(subject.storage)).collect();
        let rounding = truth.mapv(|y| half_ulp(subject.dtype, y).powi(2) / 3.0);
        let all: Vec<&ArrayD<f64>> = errors.iter().collect();
        let runs = samples.len() as u64;
        let times = times(runs);
        // the least number of runs says too little about what they have in common
        let few = times <= 1.0;
        let floor = |errors: &[&ArrayD<f64>]| floor(errors, prior(runs), subject.dims, &rounding);
        let sigma = floor(&all);
        let signed = |e: &ArrayD<f64>| e.iter().zip(&sigma).map(|(e, s)| if *s > 0.0 { e / s } else { 0.0 }).collect();
        let compared: Vec<Vec<f64>> = errors.iter().filter(|_| !few).map(signed).collect();
        let held_out = |(k, error): (usize, &ArrayD<f64>)| {
            let others: Vec<_> = errors.iter().enumerate().filter(|(j, _)| *j != k).map(|(_, e)| e).collect();
            let stored = Zip::from(error).and(&truth).map_collect(|e, y| subject.dtype.round(y + e) - y);
            scores(&stored, &floor(&others))
        };
        let held_out: Vec<ArrayD<f64>> = errors.iter().enumerate().map(held_out).collect();
        let limit = |statistic: Statistic| {
            let common = if few { Vec::new() } else { statistic.common(subject.dims, truth.shape(), &compared) };
            let mut limit = Limit { statistic, quantiles: 1.0, common };
            let mut granted: Vec<f64> = held_out.iter().map(|z| granted(&limit, subject.dims, z)).collect();
            granted.sort_by(|a, b| b.total_cmp(a));
            // as far out as the largest of the least number is
            let worst = granted.get((times as usize).saturating_sub(1)).copied().unwrap_or(0.0);
            limit.quantiles = worst.clamp(1.0, HELD_OUT_CAP) * statistic.slack();
            limit
        };
        let limits = Statistic::of(subject.dims, truth.shape()).into_iter().map(limit).collect();
        let doubt = doubt(subject, &truth, &sigma);
        let least = subject.storage.smallest();
        let sigma = sigma.mapv(|s| if s > 0.0 { s.hypot(least) } else { s });
        let Subject { dims, dtype, .. } = subject;
        Self { port: subject.port.to_owned(), dims, dtype, truth, sigma, limits, doubt, runs, closer: None }
    }

    /// The same, with limits that this answer of plain `f32` code is well within: outputs of the op at `f32`, gradients
    /// of its tape rounded as [`PLAIN`] says. Where even that is beyond the cap, nothing can be judged.
    #[must_use]
    pub fn allowing(mut self, plain: &ArrayD<f64>, storage: DType) -> Self {
        let error = (plain - &self.truth) * scale(storage);
        let stored = Zip::from(&error).and(&self.truth).map_collect(|e, y| self.dtype.round(y + e) - y);
        let z = scores(&stored, &self.sigma);
        for limit in &mut self.limits {
            let plain = limit.statistic.worst(self.dims, &z, &limit.common).excess();
            limit.quantiles = limit.quantiles.max(FREEDOM * plain);
        }
        let signal = root_mean_square(self.truth.iter().copied());
        let relative = root_mean_square(error.iter().copied()) / signal;
        let limit = if self.port.starts_with("d_") { GRADIENT_CAP } else { cap(storage) };
        let fine = relative <= limit;
        if signal > 0.0 && !fine && !self.is_trivial() {
            let text =
                format!("plain f32 code errs by {relative:.2e} of the truth of {}, the cap is {limit:.2e}", self.port);
            self.doubt.get_or_insert(text);
        }
        self
    }

    /// Whether a candidate that answers zeros would be right: there is nothing, or nothing that the answer's type
    /// holds.
    #[must_use]
    pub fn is_trivial(&self) -> bool {
        vanishes(self.dtype, &self.truth)
    }

    /// Measures an answer, once more by a better known floor where it fails by so little that this one may be why.
    ///
    /// # Errors
    /// The fault, when its shape is wrong, an element is not finite, or a statistic is not within its bound.
    pub fn judge(&self, got: &Tensor) -> Result<Vec<Measure>, Fault> {
        self.decide(got).1
    }

    /// The same, and the standard that decided: this one, or the one behind it.
    pub fn decide(&self, got: &Tensor) -> (&Self, Result<Vec<Measure>, Fault>) {
        let found = self.glance(got);
        let near = found.as_ref().is_err_and(|fault| closer::is_near(fault, self.runs));
        match self.closer.as_ref().filter(|_| near).and_then(|closer| closer.standard(&self.port)) {
            Some(closer) => (closer, closer.glance(got)),
            None => (self, found),
        }
    }

    fn glance(&self, got: &Tensor) -> Result<Vec<Measure>, Fault> {
        if got.shape() != self.truth.shape() || got.dtype() == DType::I64 {
            let (shape, dtype) = (got.shape(), got.dtype());
            let message = format!("{} is {dtype}{shape:?}, expected floats {:?}", self.port, self.truth.shape());
            return Err(Fault::Malformed { message });
        }
        if self.truth.is_empty() {
            return Ok(Vec::new());
        }
        let got = got.to_array();
        let wrong: Vec<usize> = got.iter().enumerate().filter(|(_, y)| !y.is_finite()).map(|(i, _)| i).collect();
        if let Some(&first) = wrong.first() {
            return Err(Fault::NonFinite { port: self.port.clone(), at: self.index(first), count: wrong.len() });
        }
        let error = &got - &self.truth;
        let measures = self.measures(&error);
        let (mut beyond, within): (Vec<_>, Vec<_>) = measures.into_iter().partition(|m| !m.within());
        beyond.sort_by(|a, b| excess(b).total_cmp(&excess(a)));
        if beyond.is_empty() {
            return Ok(within);
        }
        let worst = beyond.remove(0);
        Err(Fault::Inaccurate { worst, others: beyond, heat: self.heat(&error) })
    }

    /// The statistics of an error of the right shape.
    #[must_use]
    pub fn measures(&self, error: &ArrayD<f64>) -> Vec<Measure> {
        let z = scores(error, &self.sigma);
        let signal = root_mean_square(self.truth.iter().copied());
        let relative = match root_mean_square(error.iter().copied()) {
            noise if noise > 0.0 => noise / signal,
            noise => noise,
        };
        let measure = |limit: &Limit| {
            let worst = limit.statistic.worst(self.dims, &z, &limit.common);
            let (port, statistic) = (self.port.clone(), limit.statistic.name().to_owned());
            let bound = limit.quantiles * worst.quantile;
            Measure { port, statistic, error: worst.value, bound, relative, at: worst.at, runs: self.runs }
        };
        self.limits.iter().map(measure).collect()
    }

    /// Largest absolute error per token and head, thinned out to at most 128 × 64.
    #[must_use]
    pub fn heat(&self, error: &ArrayD<f64>) -> Vec<Vec<f32>> {
        let rows = [Dim::T, Dim::N].into_iter().find_map(|d| self.dims.iter().position(|&x| x == d));
        let columns: Vec<usize> = (0..self.dims.len())
            .filter(|&i| Some(i) != rows && matches!(self.dims[i], Dim::B | Dim::H | Dim::HV | Dim::HQ | Dim::D))
            .collect();
        let extent = |axes: &[usize]| axes.iter().map(|&a| error.shape()[a]).product::<usize>().max(1);
        let (height, width) = (rows.map_or(1, |r| error.shape()[r]).max(1), extent(&columns));
        let mut heat = vec![vec![0.0f32; width.min(64)]; height.min(128)];
        let (tall, wide) = (heat.len(), width.min(64));
        for (at, e) in error.indexed_iter() {
            let row = rows.map_or(0, |r| at[r]);
            let column = columns.iter().fold(0, |c, &a| c * error.shape()[a] + at[a]);
            let cell = &mut heat[row * tall / height][column * wide / width];
            *cell = cell.max((e.abs() as f32).min(f32::MAX));
        }
        heat
    }

    fn index(&self, flat: usize) -> Vec<usize> {
        index(self.truth.shape(), flat)
    }
}

/// The index of the `flat`-th element in row-major order.
#[must_use]
pub fn index(shape: &[usize], mut flat: usize) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for (i, &extent) in shape.iter().enumerate().rev() {
        at[i] = flat % extent.max(1);
        flat /= extent.max(1);
    }
    at
}

fn excess(m: &Measure) -> f64 {
    if m.error.is_nan() { f64::INFINITY } else { m.error / m.bound }
}

/// |error| in units of σ; where σ is zero any error is infinite.
fn scores(error: &ArrayD<f64>, sigma: &ArrayD<f64>) -> ArrayD<f64> {
    Zip::from(error).and(sigma).map_collect(|e, s| match (e.abs(), *s) {
        (e, s) if s > 0.0 => e / s,
        (e, _) if e > 0.0 => f64::INFINITY,
        (e, _) => e,
    })
}

fn root_mean_square(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, n), x| (sum + x * x, n + 1));
    if count == 0 { 0.0 } else { (sum / count as f64).sqrt() }
}

/// σ of every element, the neighbourhood counting as that many runs.
fn floor(errors: &[&ArrayD<f64>], prior: f64, dims: &[Dim], rounding: &ArrayD<f64>) -> ArrayD<f64> {
    let mut squares = ArrayD::<f64>::zeros(rounding.raw_dim());
    for error in errors {
        squares.zip_mut_with(error, |s, e| *s += e * e);
    }
    let samples = errors.len().max(1) as f64;
    let group = Regions::neighbourhoods(dims, rounding.shape());
    let sums = group.sums(rounding.shape(), squares.iter().map(|s| s / samples));
    let means: Vec<f64> = sums.into_iter().map(|(sum, count)| prior * sum / count as f64).collect();
    let mut sigma = squares;
    for ((s, r), place) in sigma.iter_mut().zip(rounding).zip(group.places(rounding.shape())) {
        *s = ((means[place] + *s) / (prior + samples) + r).sqrt();
    }
    sigma
}

/// Why an answer could not fail, or nothing.
fn doubt(subject: Subject<'_>, truth: &ArrayD<f64>, sigma: &ArrayD<f64>) -> Option<String> {
    let Subject { port, dtype, storage, .. } = subject;
    let largest = truth.iter().fold(0.0, |m: f64, y| m.max(y.abs()));
    if !truth.iter().all(|y| y.abs() <= dtype.max()) {
        return Some(format!("the truth of {port} reaches {largest:.3e}, which {dtype} cannot hold"));
    }
    let signal = root_mean_square(truth.iter().copied());
    let noise = root_mean_square(sigma.iter().copied());
    let cap = if port.starts_with("d_") { GRADIENT_CAP } else { cap(storage) };
    if noise <= cap * signal || vanishes(dtype, truth) {
        return None;
    }
    Some(format!("the rounding floor of {port} is {:.2e} of its truth, the cap is {cap:.2e}", noise / signal))
}

#[cfg(test)]
mod exact;
#[cfg(test)]
mod tests;
