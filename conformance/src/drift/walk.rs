//! The oracle on its way through a long sequence.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{ArrayD, Axis, Slice};
use reference::error::Error as Invalid;
use reference::oracle;
use reference::problem::Problem;
use reference::rounded::Rounding;
use reference::spec::{Dim, OpSpec, Port};
use reference::tensor::{Arrays, DType, Tensor, Tensors};

use crate::case::Case;
use crate::measure::{PLAIN, SAMPLES, rounding};
use crate::truth::port;

/// Tokens that the oracle takes at a time.
const PIECE: usize = 4096;

/// Errors at lengths.
type Points = Vec<(f64, f64)>;

/// What the oracle says: outputs of every token, and the states at each length.
pub(super) struct Stream {
    outputs: Arrays,
    states: BTreeMap<usize, Arrays>,
}

/// The rounding of one sample; the last is plain `f32`.
pub(super) fn ladder(dtype: DType, sample: u64) -> Rounding {
    if sample == SAMPLES { PLAIN } else { rounding(dtype, sample) }
}

/// The first tokens of a problem.
pub(super) fn first(problem: &Problem, length: usize) -> Problem {
    let mut problem = problem.clone();
    problem.sizes.insert(Dim::T, length);
    problem
}

fn axis(case: &Case, name: &str) -> Option<usize> {
    let output = || name.strip_prefix("d_").and_then(|o| case.problem.spec.output(o));
    let found: &Port = case.problem.spec.input(name).or_else(output).or_else(|| port(&case.problem, name))?;
    OpSpec::per_token(found).then(|| found.dims.iter().position(|&d| d == Dim::T)).flatten()
}

/// The tensors of some tokens.
pub(super) fn tokens(case: &Case, tensors: &Tensors, range: Range<usize>) -> Tensors {
    let cut = |(name, t): (&String, &Tensor)| match axis(case, name) {
        Some(axis) => (name.clone(), t.narrow(axis, range.clone())),
        None => (name.clone(), t.clone()),
    };
    tensors.iter().map(cut).collect()
}

fn wide(tensors: &Tensors) -> Arrays {
    tensors.iter().map(|(name, t)| (name.clone(), t.to_array())).collect()
}

/// Outputs and states, a piece at a time.
pub(super) fn stream(
    case: &Case,
    inputs: &Tensors,
    lengths: &[usize],
    rounded: Option<Rounding>,
) -> Result<Stream, Invalid> {
    let mut stream = Stream { outputs: Arrays::new(), states: BTreeMap::new() };
    let mut state = Arrays::new();
    let mut start = 0;
    for &length in lengths {
        while start < length {
            let end = (start + PIECE).min(length);
            let mut piece = wide(&tokens(case, inputs, start..end));
            piece.extend(state);
            let mut problem = first(&case.problem, end - start);
            problem.absent.retain(|name| !piece.contains_key(*name));
            let found = match rounded {
                // another stream of random numbers for each piece
                Some(r) if r.seed > 0 => {
                    let r = Rounding { seed: r.seed + 8 * start as u64, ..r };
                    oracle::rounded(&problem, &piece, &Arrays::new(), &[], &r)?.outputs
                }
                Some(r) => oracle::rounded(&problem, &piece, &Arrays::new(), &[], &r)?.outputs,
                None => oracle::forward(&problem, &piece)?,
            };
            let states = problem.states().map(|s| (s.initial.to_owned(), found[s.last].clone()));
            state = states.collect();
            stream.append(case, found, lengths.last().copied().unwrap_or(end), start);
            start = end;
        }
        let named = case.problem.states().map(|s| (s.last.to_owned(), state[s.initial].clone()));
        stream.states.insert(length, named.collect());
    }
    Ok(stream)
}

impl Stream {
    fn append(&mut self, case: &Case, found: Arrays, tokens: usize, start: usize) {
        for (name, piece) in found {
            let Some(axis) = axis(case, &name) else { continue };
            let whole = self.outputs.entry(name).or_insert_with(|| {
                let mut shape = piece.shape().to_vec();
                shape[axis] = tokens;
                ArrayD::zeros(shape)
            });
            let end = start + piece.len_of(Axis(axis));
            whole.slice_axis_mut(Axis(axis), Slice::from(start..end)).assign(&piece);
        }
    }

    /// Outputs of the second half of a length, and the states at its end.
    fn at(&self, case: &Case, length: usize) -> Arrays {
        let half = |(name, a): (&String, &ArrayD<f64>)| {
            let axis = axis(case, name)?;
            Some((name.clone(), a.slice_axis(Axis(axis), Slice::from(length / 2..length)).to_owned()))
        };
        self.outputs.iter().filter_map(half).chain(self.states[&length].clone()).collect()
    }
}

/// Gradients of the first tokens.
pub(super) fn gradients(
    case: &Case,
    inputs: &Tensors,
    cotangents: &Tensors,
    length: usize,
    rounded: Option<Rounding>,
) -> Result<Arrays, Invalid> {
    let problem = first(&case.problem, length);
    let want: Vec<&str> = problem.differentiable().map(|p| p.name).collect();
    let (inputs, seeds) = (wide(&tokens(case, inputs, 0..length)), wide(&tokens(case, cotangents, 0..length)));
    let found = match rounded {
        Some(r) => oracle::rounded(&problem, &inputs, &seeds, &want, &r)?,
        None => oracle::gradients(&problem, &inputs, &seeds, &want)?,
    };
    let round = |(name, a): (String, ArrayD<f64>)| {
        let dtype = port(&problem, &name).map_or(DType::F64, |p| Problem::dtype(p, case.dtype));
        (name, if rounded.is_some() { a.mapv(|x| dtype.round(x)) } else { a })
    };
    Ok(found.gradients.into_iter().map(round).collect())
}

/// Root mean square error, relative to that of the truth.
pub(super) fn relative(got: &ArrayD<f64>, truth: &ArrayD<f64>) -> f64 {
    let sum = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    (sum(&mut got.iter().zip(truth).map(|(a, b)| a - b)) / sum(&mut truth.iter().copied())).sqrt()
}

/// What became of each output and gradient, length by length.
pub(super) struct Error {
    lengths: Vec<usize>,
    /// By port and length: the candidate's error, squared errors of random samples and their number, that of plain
    /// code.
    known: BTreeMap<String, BTreeMap<usize, Entry>>,
}

#[derive(Default)]
struct Entry {
    got: f64,
    squares: Vec<f64>,
    plain: f64,
}

impl Error {
    pub(super) fn new(lengths: &[usize]) -> Self {
        Self { lengths: lengths.to_vec(), known: BTreeMap::new() }
    }

    fn entry(&mut self, name: &str, length: usize) -> &mut Entry {
        self.known.entry(name.to_owned()).or_default().entry(length).or_default()
    }

    /// A rounded run, whose outputs are stored as the type stores them.
    pub(super) fn rounded(&mut self, sample: u64, truth: &Stream, rounded: &Stream, case: &Case) {
        for length in self.lengths.clone() {
            let (exact, rough) = (truth.at(case, length), rounded.at(case, length));
            for (name, y) in exact.iter().filter(|(name, _)| asked(case, name)) {
                let dtype = port(&case.problem, name).map_or(DType::F64, |p| Problem::dtype(p, case.dtype));
                let error = relative(&rough[name].mapv(|x| dtype.round(x)), y);
                self.explain(sample, name, length, error);
            }
        }
    }

    /// What one rounded run shows; the last sample is that of plain code.
    pub(super) fn explain(&mut self, sample: u64, name: &str, length: usize, error: f64) {
        let entry = self.entry(name, length);
        if sample == SAMPLES { entry.plain = error } else { entry.squares.push(error * error) }
    }

    pub(super) fn found(&mut self, name: &str, length: usize, error: f64) {
        self.entry(name, length).got = error;
    }

    /// A candidate's answer, or that there is none.
    pub(super) fn got(&mut self, truth: &Stream, answers: Option<&Tensors>, length: usize, case: &Case) {
        for (name, y) in truth.at(case, length).iter().filter(|(name, _)| asked(case, name)) {
            let tensor = answers.and_then(|a| a.get(name));
            let got = tensor.map(|t| match axis(case, name) {
                Some(axis) => t.narrow(axis, length / 2..length).to_array(),
                None => t.to_array(),
            });
            let error = got.map_or(f64::NAN, |got| relative(&got, y));
            self.found(name, length, error);
        }
    }

    /// Port, the candidate's errors, and what rounding explains.
    pub(super) fn curves(self) -> impl Iterator<Item = (String, Points, Points)> {
        self.known.into_iter().map(|(port, entries)| {
            let got = entries.iter().map(|(&t, e)| (t as f64, e.got)).collect();
            let explained =
                |e: &Entry| (e.squares.iter().sum::<f64>() / e.squares.len().max(1) as f64).sqrt().max(e.plain);
            let ladder = entries.iter().map(|(&t, e)| (t as f64, explained(e))).collect();
            (port, got, ladder)
        })
    }
}

fn asked(case: &Case, name: &str) -> bool {
    case.problem.outputs().any(|p| p.name == name)
}
