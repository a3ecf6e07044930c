//! Inputs and cotangents of a case: the same bytes on every machine.
//!
//! A counter-based generator: element `i` of a tensor is a function of a 128-bit key and `i` alone, so tensors are made
//! in any order and on any number of cores. The key hashes the suite's version, what the numbers depend on (op,
//! extents, packing, profile, seed) and the port; the storage type is left out, so that the same case at another
//! precision holds the same numbers, rounded otherwise. Only IEEE additions, products, quotients and roots are used,
//! with an exponential and a logarithm of our own: no result depends on a machine's mathematical library.

mod blocks;
mod covariance;
mod key;
mod lattice;
mod profile;

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;
use reference::problem::Problem;
use reference::spec::{Dim, Domain, OpSpec, Port};
use reference::tensor::{DType, Tensor, Tensors};

use crate::case::Case;
use blocks::Blocks;
use key::{exp, ln};
use lattice::Lattice;

pub use key::Key;
pub use profile::Profile;

/// Changes whenever the numbers of some case change: records of different versions do not compare.
pub const VERSION: &str = "1";

/// Elements that one core makes at a time.
const BLOCK: usize = 1 << 16;

/// Values, as opposed to keys, gates and weights: what the op is linear in.
fn is_value(port: &Port) -> bool {
    port.domain == Domain::Normal && OpSpec::per_token(port) && !is_key(port)
}

fn is_key(port: &Port) -> bool {
    OpSpec::per_token(port) && port.dims.last() == Some(&Dim::K)
}

/// The inputs of a case, rounded to their element types.
#[must_use]
pub fn inputs(case: &Case) -> Tensors {
    case.problem.inputs().map(|port| (port.name.to_owned(), input(case, port))).collect()
}

/// Random cotangents `d_<output>` of both signs for every output that is asked for and takes one.
#[must_use]
pub fn cotangents(case: &Case) -> Tensors {
    let draw = |port: &Port| {
        let name = format!("d_{}", port.name);
        let key = Key::new(&format!("{} {name}", seeded(case)));
        let (shape, dtype) = (case.problem.shape(port), Problem::dtype(port, case.dtype));
        let drawn = match (Lattice::of(case.profile), case.profile) {
            (Some(lattice), _) => tensor(&shape, dtype, 1, |i, x| x[0] = lattice.cotangent(&key, i)),
            (_, Profile::Steady) => tensor(&shape, dtype, 1, |i, x| x[0] = key.normal(i as u64).abs()),
            _ => normals(key, &shape, dtype),
        };
        (name, drawn)
    };
    case.problem.outputs().filter(|p| p.differentiable).map(draw).collect()
}

/// Finite numbers of another seed in the shape of `like`, to put where they must not matter.
#[must_use]
pub fn others(case: &Case, name: &str, like: &Tensor) -> Tensor {
    let other = Case { seed: case.seed ^ (1 << 63), ..case.clone() };
    match case.problem.spec.input(name) {
        Some(port) => input(&other, port),
        None => {
            let key = Key::new(&format!("{} {name}", seeded(&other)));
            normals(key, like.shape(), like.dtype())
        }
    }
}

/// What the numbers depend on, the port excepted.
fn seeded(case: &Case) -> String {
    let sizes = case.problem.spec.sizes.iter().map(|&d| format!("{d}={}", case.problem.size(d)));
    let sizes = sizes.collect::<Vec<_>>().join(",");
    let (op, seqs, profile, seed) = (case.problem.spec.name, &case.problem.sequences, case.profile.name(), case.seed);
    format!("fla-conformance {VERSION} {op} {sizes} {seqs:?} {profile} {seed}")
}

/// One input of a case.
pub(crate) fn input(case: &Case, port: &Port) -> Tensor {
    let shape = case.problem.shape(port);
    let draw = Draw::new(case, port);
    let width = shape.last().copied().unwrap_or(1).max(1);
    tensor(&shape, Problem::dtype(port, case.dtype), width, |first, row| draw.fill(first, row))
}

/// How the numbers of one input are drawn.
struct Draw<'a> {
    port: &'a Port,
    key: Key,
    profile: Profile,
    domain: Domain,
    /// Elements of one token, tokens of one row, and how many of these come again and again.
    repeats: Option<[usize; 3]>,
    /// Extent of the vocabulary, and where sequences of symbols end.
    symbols: usize,
    ends: Vec<usize>,
    /// What the numbers are divided by.
    divisor: f64,
    /// The input that this one goes against.
    other: Option<Box<Draw<'a>>>,
    blocks: Option<Blocks>,
}

impl<'a> Draw<'a> {
    fn new(case: &Case, port: &'a Port) -> Self {
        let (shape, domain) = (case.problem.shape(port), case.problem.domain(port));
        let axis = port.dims.iter().position(|&d| d == Dim::T);
        let period = match case.profile {
            Profile::RepeatedKeys if is_key(port) => Some(3),
            Profile::Steady if port.domain == Domain::LogDecay => Some(1),
            _ => None,
        };
        let size = |t: usize| [shape[t + 1..].iter().product::<usize>().max(1), shape[t].max(1), period.unwrap_or(1)];
        let repeats = axis.filter(|_| period.is_some()).map(size);
        let other = match domain {
            Domain::Against(name) => case.problem.spec.input(name).map(|other| Box::new(Draw::new(case, other))),
            _ => None,
        };
        let key = Key::new(&format!("{} {}", seeded(case), port.name));
        let blocks = Blocks::new(&case.problem, port);
        let divisor = if domain == Domain::Weight { (case.problem.fan_in(port).max(1) as f64).sqrt() } else { 1.0 };
        let symbols = case.problem.size(Dim::S);
        let ends = if matches!(domain, Domain::Symbols(_)) { case.problem.offsets() } else { Vec::new() };
        Self { port, key, profile: case.profile, domain, repeats, symbols, ends, divisor, other, blocks }
    }

    /// Fills the row that begins with element `first`.
    fn fill(&self, first: usize, row: &mut [f64]) {
        if let Domain::Symbols(targets) = self.domain {
            for (j, x) in row.iter_mut().enumerate() {
                *x = self.symbol(first + j, targets);
            }
            return;
        }
        if self.domain == Domain::Mask {
            let counts = |j| !self.key.word_at((first + j) as u64, 7).is_multiple_of(8);
            return row.iter_mut().enumerate().for_each(|(j, x)| *x = f64::from(u8::from(counts(j))));
        }
        if let Some(blocks) = &self.blocks {
            return blocks.fill(&self.key, first, row);
        }
        if let Some(lattice) = Lattice::of(self.profile) {
            let against = self.other.as_ref().map(|other| {
                let mut row = vec![0.0; row.len()];
                other.fill(first, &mut row);
                row
            });
            return lattice.fill(&self.key, self.port, self.domain, first, row, against.as_deref());
        }
        if self.domain == Domain::Covariance {
            return covariance::fill(&self.key, first, row);
        }
        for (j, x) in row.iter_mut().enumerate() {
            let i = self.place(first + j);
            *x = match self.port.domain {
                Domain::LogDecay => gate(&self.key, i, self.domain, self.profile),
                _ => plain(&self.key, i, self.port, self.profile, self.domain),
            };
        }
        row.iter_mut().for_each(|x| *x /= self.divisor);
        if self.domain == Domain::UnitKey {
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
        }
        if let Some(other) = &self.other {
            let mut against = vec![0.0; row.len()];
            other.fill(first, &mut against);
            row.iter_mut().zip(against).for_each(|(fraction, x)| *fraction *= -x);
        }
    }

    /// An index of the vocabulary; of targets one in eight, and the last of each sequence, are none.
    fn symbol(&self, i: usize, targets: bool) -> f64 {
        let none = self.key.word_at(i as u64, 7).is_multiple_of(8) || self.ends.contains(&(i + 1));
        if targets && none { -100.0 } else { (self.key.uniform(i as u64) * self.symbols as f64).floor() }
    }

    fn place(&self, i: usize) -> u64 {
        let Some([inner, tokens, period]) = self.repeats else { return i as u64 };
        let (row, token, rest) = (i / (inner * tokens), i / inner % tokens, i % inner);
        ((row * tokens + token % period) * inner + rest) as u64
    }
}

fn plain(key: &Key, i: u64, port: &Port, profile: Profile, domain: Domain) -> f64 {
    let x = key.normal(i);
    match domain {
        Domain::Fraction | Domain::Against(_) => 1.0 / (1.0 + exp(-x)),
        Domain::LogRate => ln(1.0 + 15.0 * key.uniform(i)),
        Domain::Uniform(low, high) => low + (high - low) * key.uniform(i),
        Domain::Normal
        | Domain::UnitKey
        | Domain::LogDecay
        | Domain::Weight
        | Domain::Covariance
        | Domain::Blocks(_)
        | Domain::Symbols(_)
        | Domain::Mask => match profile {
            Profile::ModelScale if is_value(port) => 0.05 * x,
            Profile::Large if is_value(port) || is_key(port) => 8.0 * x,
            Profile::Steady if port.domain == Domain::Normal => x.abs(),
            Profile::ShortKeys if port.domain == Domain::UnitKey => SHORT * x,
            _ => x,
        },
    }
}

/// Log decays at which kernels overflow, vanish or take another way.
const SWEEP: [f64; 8] = [0.0, -1e-6, -1e-3, -1.0, -5.0, -6.0, -20.0, -100.0];

/// Raw gates likewise.
const RAW: [f64; 8] = [-40.0, -20.0, -5.0, -1.0, 0.0, 1.0, 5.0, 20.0];

/// Log decays that stay the same, so that a chunk of tokens forgets much, little, or all but nothing of them.
const EVEN: [f64; 6] = [-1.0 / 64.0, -1.0 / 16.0, -12.0, -0.25, -1.0 / 256.0, -2.0];

/// Raw gates likewise.
const RAW_EVEN: [f64; 6] = [-4.0, -2.5, 2.5, -1.0, -5.0, 0.5];

/// Puts a power of two next to the middle between two numbers of `bf16`, and in the middle between two of `f16`.
const BETWEEN: f64 = 1.0 + 1.0 / 256.0 + 1.0 / 2048.0;

/// Standard deviation of a short key: its square is a quarter of what is commonly added to a sum of squares.
const SHORT: f64 = 1.0 / 2048.0;

/// A log decay, or the raw gate that an attribute asks for instead.
fn gate(key: &Key, i: u64, domain: Domain, profile: Profile) -> f64 {
    let (x, raw) = (key.normal(i), domain != Domain::LogDecay);
    match profile {
        Profile::SlowDecay if raw => x - 9.0,
        Profile::SlowDecay => -exp(-ln(10.0) * (3.0 + 2.0 * key.uniform(i))),
        Profile::HardGates if key.word_at(i, 7).is_multiple_of(50) => {
            if raw {
                20.0
            } else {
                -20.0
            }
        }
        Profile::GateSweep => {
            let gates = if raw { RAW } else { SWEEP };
            gates[key.word_at(i, 7) as usize % gates.len()]
        }
        Profile::Steady => {
            let gates = if raw { RAW_EVEN } else { EVEN };
            BETWEEN * gates[i as usize % gates.len()]
        }
        _ if raw => x,
        // half of the tokens keep at least 95 % of the state, some forget half
        _ => -ln(1.0 + exp(-(2.0 * x + 3.0))),
    }
}

/// Makes a tensor row by row, in parallel: `fill` gets the index of a row's first element and the row.
fn tensor(shape: &[usize], dtype: DType, width: usize, fill: impl Fn(usize, &mut [f64]) + Sync) -> Tensor {
    let count: usize = shape.iter().product();
    let size = width * (BLOCK / width).max(1);
    let blocks: Vec<Vec<u8>> = (0..count.div_ceil(size))
        .into_par_iter()
        .map(|b| {
            let mut block = ArrayD::zeros(IxDyn(&[size.min(count - b * size)]));
            let values = block.as_slice_mut().expect("a fresh array is contiguous");
            for (r, row) in values.chunks_mut(width).enumerate() {
                fill(b * size + r * width, row);
            }
            Tensor::from_array(&block, dtype).into_bytes()
        })
        .collect();
    Tensor::from_bytes(dtype, shape, blocks.concat()).expect("as many elements as the shape has")
}

/// Standard normal numbers.
fn normals(key: Key, shape: &[usize], dtype: DType) -> Tensor {
    tensor(shape, dtype, 1, |i, x| x[0] = key.normal(i as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_functions_agree_with_the_library() {
        for i in -80..=80 {
            let x = f64::from(i) * 0.37;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-11, "exp({x})");
            let positive = x.exp();
            assert!((ln(positive) - x).abs() < 1e-11 * (1.0 + x.abs()), "ln({positive})");
        }
    }

    #[test]
    fn normals_have_the_moments_of_a_normal() {
        let key = Key::new("moments");
        let n = 200_000;
        let moment = |p: i32| (0..n).map(|i| key.normal(i).powi(p)).sum::<f64>() / n as f64;
        assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.02 && moment(3).abs() < 0.03);
        // Irwin and Hall's sum of twelve has kurtosis 2.9
        assert!((moment(4) - 2.9).abs() < 0.06, "{}", moment(4));
    }

    #[test]
    fn these_are_the_numbers_on_every_machine() {
        let case: Case = "hgrn(B=1,T=2,D=2,seed=5)".parse().expect("valid");
        let drawn = inputs(&case);
        let words: Vec<u32> = drawn["x"].values().chain(drawn["g"].values()).map(|x| (x as f32).to_bits()).collect();
        assert_eq!(words, EXPECTED);
    }

    const EXPECTED: [u32; 8] =
        [3218028071, 3183553358, 1056255790, 986373350, 3172490582, 3186075535, 3149952307, 3195024657];

    #[test]
    fn a_case_at_another_precision_holds_the_same_numbers() {
        let at = |dtype: &str| -> Case {
            format!("gated_delta_rule(T=9,dtype={dtype},profile=repeated_keys)").parse().expect("valid")
        };
        let (wide, narrow) = (inputs(&at("f64")), inputs(&at("bf16")));
        for (name, tensor) in &wide {
            let rounded = Tensor::from_array(&tensor.to_array(), narrow[name].dtype());
            assert_eq!(rounded, narrow[name], "{name}");
        }
        assert_eq!(wide["k"].narrow(1, 0..3), wide["k"].narrow(1, 3..6), "keys repeat");
    }

    #[test]
    fn every_profile_gives_finite_numbers_and_gates_that_decay() {
        for spec in reference::specs() {
            for profile in Profile::ALL {
                let text = format!("{}(T=200,dtype=f16,profile={},seed=1)", spec.name, profile.name());
                let case: Case = text.parse().expect("valid");
                for (name, tensor) in inputs(&case).iter().chain(&cotangents(&case)) {
                    assert!(tensor.values().all(f64::is_finite), "{text}: {name}");
                    let domain = spec.input(name).map(|p| case.problem.domain(p));
                    assert!(domain != Some(Domain::LogDecay) || tensor.values().all(|g| g <= 0.0), "{text}: {name}");
                }
            }
        }
    }
}
