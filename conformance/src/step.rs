//! One training step of a model, seen from outside: what its blocks leave, logits, loss, and every gradient.
//!
//! The loss is the mean over the targets that count. A step is neither started from a state nor asked for one. It runs
//! on one tape ([`reference::oracle::traced`]), in `f64` or rounded as a declared precision would, so that a truth and
//! its floor come from the same code.

use std::cell::RefCell;
use std::rc::Rc;

use ndarray::{ArrayD, Axis, concatenate};
use rayon::prelude::*;
use reference::dims;
use reference::oracle::{self, Answer};
use reference::problem::Problem;
use reference::rounded::Rounding;
use reference::spec::{Dim, Level, Port};
use reference::tap::{Question, Tap};
use reference::tensor::{Arrays, DType, Tensors};

use crate::case::{self, Case};
use crate::measure::{Closer, MORE, PLAIN, SAMPLES, Standard, Subject, roundings};
use crate::sample;

/// A step that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a case string.
    #[error(transparent)]
    Case(#[from] case::Error),
    /// Something smaller than a model.
    #[error("{name} is of level {level}, expected a model: see fla-conformance list --level model")]
    Level {
        /// The spec.
        name: &'static str,
        /// What it is.
        level: &'static str,
    },
    /// Nothing to learn.
    #[error("no target of {case} counts, so there is no loss: choose a longer sequence or another seed")]
    Targets {
        /// The case.
        case: String,
    },
    /// A tape that would not fit.
    #[error(
        "a step of {case} would record {edges} products on one tape, at most {LARGEST} are kept: choose it smaller"
    )]
    Large {
        /// The case.
        case: String,
        /// About how many.
        edges: usize,
    },
    /// A question that the oracle cannot answer.
    #[error(transparent)]
    Oracle(#[from] reference::error::Error),
}

/// Products on one tape: two gigabytes at most.
const LARGEST: usize = 1 << 26;

/// A model with its numbers.
#[derive(Debug, Clone)]
pub struct Step {
    /// Model, extents, attributes, storage type, seed.
    pub case: Case,
    /// Indices, targets and parameters, in their element types.
    pub inputs: Tensors,
}

/// What one run of a step was.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What passed each place, `[tokens of all sequences, channels]`, and the gradient by it; places in their order.
    pub places: Vec<Place>,
    /// Outputs, and the gradient by every parameter.
    pub answer: Answer,
    /// The mean over the targets that count.
    pub loss: f64,
}

/// What passed one place.
#[derive(Debug, Clone)]
pub struct Place {
    /// `embeddings`; `layers.1.norm`, what the mixer reads; `layers.1.mixer`, what it adds; `layers.1`, the residual
    /// stream after the block; `norm`, what the head reads.
    pub name: String,
    /// Values.
    pub values: ArrayD<f64>,
    /// Gradient of the loss.
    pub gradient: ArrayD<f64>,
}

/// The parameters of a model's problem: what it learns.
pub fn parameters(problem: &Problem) -> impl Iterator<Item = &'static Port> + '_ {
    problem.differentiable()
}

impl Step {
    /// The step of a model's case, its numbers drawn as the spec says.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let case = stateless(text.parse()?)?;
        let inputs = sample::inputs(&case);
        Self::new(case, inputs)
    }

    /// The step of a model with these numbers.
    ///
    /// # Errors
    /// Something smaller than a model, nothing to learn, or a tape that would not fit.
    pub fn new(case: Case, inputs: Tensors) -> Result<Self, Error> {
        let case = stateless(case)?;
        let weights: usize = parameters(&case.problem).map(|p| case.problem.shape(p).iter().product::<usize>()).sum();
        let edges = weights.saturating_mul(case.problem.longest());
        if edges > LARGEST {
            return Err(Error::Large { case: case.to_string(), edges });
        }
        let step = Self { case, inputs };
        if step.counted() == 0 {
            return Err(Error::Targets { case: step.case.to_string() });
        }
        Ok(step)
    }

    /// Targets that count.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.inputs.get("targets").map_or(0, |t| t.values().filter(|&y| y >= 0.0).count())
    }

    /// Runs it exactly, or rounded.
    ///
    /// # Errors
    /// Numbers that do not fit the problem.
    pub fn run(&self, rounding: Option<&Rounding>) -> Result<Trace, reference::error::Error> {
        let watch = Rc::new(RefCell::new(Watch::default()));
        let answer = self.with(rounding, Rc::clone(&watch) as _)?;
        let places = watch.take().places();
        Ok(self.trace(places, answer))
    }

    /// Runs it with something attached.
    ///
    /// # Errors
    /// Numbers that do not fit the problem.
    pub fn with(
        &self,
        rounding: Option<&Rounding>,
        tap: reference::tap::Shared,
    ) -> Result<Answer, reference::error::Error> {
        let inputs: Arrays = self.inputs.iter().map(|(name, t)| (name.clone(), t.to_array())).collect();
        oracle::traced(&self.case.problem, &inputs, &self.cotangents(), rounding, &tap)
    }

    /// The gradient of the mean loss by each token's.
    #[must_use]
    pub fn cotangents(&self) -> Arrays {
        let problem = &self.case.problem;
        let shape = [problem.size(Dim::B), problem.size(Dim::T)];
        Arrays::from([("d_loss".to_owned(), ArrayD::from_elem(&shape[..], 1.0 / self.counted() as f64))])
    }

    /// What was seen, put together.
    #[must_use]
    pub fn trace(&self, places: Vec<Place>, answer: Answer) -> Trace {
        let loss = answer.outputs.get("loss").map_or(f64::NAN, |l| l.sum()) / self.counted() as f64;
        Trace { places, answer, loss }
    }

    /// The exact run, and what is right about each of its quantities at the storage type of the case.
    ///
    /// # Errors
    /// Numbers that do not fit the problem.
    pub fn standards(&self) -> Result<(Trace, Vec<Standard>), reference::error::Error> {
        let (truth, mut standards) = self.standards_of(SAMPLES)?;
        let step = self.clone();
        let closer = Closer::new(move || {
            let (_, standards) = step.standards_of(MORE * SAMPLES).ok().unzip();
            standards.into_iter().flatten().map(|s| (s.port.clone(), s)).collect()
        });
        standards.iter_mut().for_each(|standard| standard.closer = Some(closer.clone()));
        Ok((truth, standards))
    }

    /// The same, by so many rounded runs.
    fn standards_of(&self, samples: u64) -> Result<(Trace, Vec<Standard>), reference::error::Error> {
        let storage = self.case.dtype;
        let rounded = roundings(storage, samples).map(Some);
        let runs: Vec<Option<Rounding>> = std::iter::once(None).chain(rounded).chain([Some(PLAIN)]).collect();
        let runs = runs.par_iter().map(|r| self.run(r.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let [truth, samples @ .., plain] = &runs[..] else { unreachable!("an exact run, samples, and a plain one") };
        let (samples, plain) = (samples.iter().map(|s| self.quantities(s)).collect::<Vec<_>>(), self.quantities(plain));
        let standard = |(i, q): (usize, Quantity)| {
            let subject = Subject { port: &q.name, dims: q.dims, dtype: q.dtype, storage };
            let samples: Vec<ArrayD<f64>> = samples.iter().map(|s| s[i].values.clone()).collect();
            Standard::new(subject, q.values, &samples).allowing(&plain[i].values, storage)
        };
        let standards = self.quantities(truth).into_iter().enumerate().map(standard).collect();
        Ok((truth.clone(), standards))
    }

    /// Everything that a run shows, in the order in which it comes to be: forwards, then backwards.
    #[must_use]
    pub fn quantities(&self, trace: &Trace) -> Vec<Quantity> {
        let (problem, storage) = (&self.case.problem, self.case.dtype);
        let place = |p: &Place, back: bool| Quantity {
            name: if back { format!("d_{}", p.name) } else { p.name.clone() },
            kind: if back { "gradient" } else { "activation" },
            dims: dims![T, D],
            dtype: storage,
            values: if back { p.gradient.clone() } else { p.values.clone() },
        };
        let port = |kind, name: String, port: &'static Port, values: Option<&ArrayD<f64>>| {
            let (dims, dtype) = (port.dims, Problem::dtype(port, storage));
            Some(Quantity { name, kind, dims, dtype, values: values?.clone() })
        };
        let mut all: Vec<Quantity> = trace.places.iter().map(|p| place(p, false)).collect();
        let output = |p: &'static Port| port("output", p.name.to_owned(), p, trace.answer.outputs.get(p.name));
        all.extend(problem.outputs().filter_map(output));
        all.extend(trace.places.iter().rev().map(|p| place(p, true)));
        let weights: Vec<_> = parameters(problem).map(|p| (format!("d_{}", p.name), p)).collect();
        let weight = |(name, p): (String, _)| port("weights", name.clone(), p, trace.answer.gradients.get(&name));
        all.extend(weights.into_iter().rev().filter_map(weight));
        all
    }
}

/// One tensor of a run.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// A place, an output, or `d_` and what the gradient is by.
    pub name: String,
    /// `activation`, `output`, `gradient` by an activation, `weights`: the gradient by a parameter.
    pub kind: &'static str,
    /// Symbolic shape.
    pub dims: &'static [Dim],
    /// Element type in which it would be stored.
    pub dtype: DType,
    /// Its values.
    pub values: ArrayD<f64>,
}

/// A model's case without states: what training does.
fn stateless(mut case: Case) -> Result<Case, Error> {
    let spec = case.problem.spec;
    if spec.level != Level::Model {
        return Err(Error::Level { name: spec.name, level: spec.level.name() });
    }
    case.problem.absent.extend(spec.states.iter().flat_map(|s| [s.initial, s.last]));
    // the states of a stack with blocks of softmax attention are inputs and outputs like others
    let own = |p: &&'static Port| p.name.starts_with("layers.");
    case.problem.absent.extend(spec.inputs.iter().chain(spec.outputs).filter(own).map(|p| p.name));
    case.problem.validate().map_err(case::Error::from)?;
    Ok(case)
}

/// Sees what passes.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Vec<Seen>,
}

/// One place: a tensor for each sequence.
#[derive(Debug)]
struct Seen {
    name: String,
    values: Vec<ArrayD<f64>>,
    gradients: Vec<ArrayD<f64>>,
}

impl Watch {
    fn place(&mut self, name: &str) -> &mut Seen {
        let at = self.seen.iter().position(|s| s.name == name).unwrap_or_else(|| {
            self.seen.push(Seen { name: name.to_owned(), values: Vec::new(), gradients: Vec::new() });
            self.seen.len() - 1
        });
        &mut self.seen[at]
    }

    /// The places, sequences one after the other.
    #[must_use]
    pub fn places(self) -> Vec<Place> {
        let joined = |parts: &[ArrayD<f64>]| {
            let views: Vec<_> = parts.iter().map(|a| a.view()).collect();
            concatenate(Axis(0), &views).unwrap_or_else(|_| ArrayD::zeros(&[0, 0][..]))
        };
        let place = |seen: Seen| {
            let (values, gradient) = (joined(&seen.values), joined(&seen.gradients));
            Place { name: seen.name, values, gradient }
        };
        self.seen.into_iter().map(place).collect()
    }
}

impl Tap for Watch {
    fn pass(&mut self, place: &str, values: ArrayD<f64>) {
        self.place(place).values.push(values);
    }

    fn back(&mut self, place: &str, gradient: ArrayD<f64>) {
        self.place(place).gradients.push(gradient);
    }

    fn answer(&mut self, _: &Question<'_>) -> Option<(usize, Arrays)> {
        None
    }
}
