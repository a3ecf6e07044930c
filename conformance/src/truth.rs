//! The truth about one question, and its floor: computed once, shared by the checks of a case. So is the floor of a
//! second look, where some answer needs one.

pub mod shelf;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::ArrayD;
use reference::error::Error;
use reference::oracle;
use reference::problem::Problem;
use reference::rounded::Rounding;
use reference::spec::Port;
use reference::tensor::{Arrays, DType, Tensor, Tensors};

use crate::case::{Case, products};
use crate::measure::{Closer, MORE, PLAIN, Standard, Subject, roundings, samples};
use crate::sample;
use shelf::Shelf;

/// Standards by port.
pub type Standards = BTreeMap<String, Standard>;

/// Makes the standards of a question with some cotangents, from so many rounded runs.
type Make = fn(&Truth, &Tensors, u64) -> Result<Standards, Error>;

/// Inputs, cotangents, and what is right about them.
#[derive(Debug)]
pub struct Truth {
    problem: Problem,
    dtype: DType,
    /// Inputs by port.
    pub inputs: Tensors,
    /// Cotangents by `d_<output>`.
    pub cotangents: Tensors,
    known: Mutex<BTreeMap<u64, Arc<Standards>>>,
    shelf: Option<Arc<Shelf>>,
}

impl Truth {
    /// The truth about a case.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        Self::new(case.problem.clone(), case.dtype, sample::inputs(case), sample::cotangents(case))
    }

    /// The truth about given numbers.
    #[must_use]
    pub fn new(problem: Problem, dtype: DType, inputs: Tensors, cotangents: Tensors) -> Self {
        Self { problem, dtype, inputs, cotangents, known: Mutex::default(), shelf: None }
    }

    /// The same, looked up on a shelf first and kept there afterwards.
    #[must_use]
    pub fn on(self, shelf: Option<Arc<Shelf>>) -> Self {
        Self { shelf, ..self }
    }

    /// Standards of the outputs.
    ///
    /// # Errors
    /// Inputs that do not fit the problem.
    pub fn outputs(&self) -> Result<Arc<Standards>, Error> {
        self.cached(&Tensors::new(), |truth, _, runs| {
            let (problem, inputs) = (&truth.problem, widen(&truth.inputs));
            let mut exact = oracle::forward(problem, &inputs)?;
            exact.retain(|name, _| problem.outputs().any(|p| p.name == name));
            let rounded = |r: &Rounding| Ok(oracle::rounded(problem, &inputs, &Arrays::new(), &[], r)?.outputs);
            truth.standards(exact, runs, rounded, oracle::forward_f32(problem, &inputs)?)
        })
    }

    /// Standards of the gradient by every differentiable input, with these cotangents and zeros for the others.
    ///
    /// # Errors
    /// Inputs or cotangents that do not fit the problem.
    pub fn gradients(&self, cotangents: &Tensors) -> Result<Arc<Standards>, Error> {
        self.cached(cotangents, |truth, cotangents, runs| {
            let (problem, inputs, seeds) = (&truth.problem, widen(&truth.inputs), widen(cotangents));
            let want: Vec<&str> = problem.differentiable().map(|p| p.name).collect();
            let exact = oracle::gradients(problem, &inputs, &seeds, &want)?.gradients;
            let rounded = |r: &Rounding| Ok(oracle::rounded(problem, &inputs, &seeds, &want, r)?.gradients);
            truth.standards(exact, runs, rounded, rounded(&PLAIN)?)
        })
    }

    fn cached(&self, cotangents: &Tensors, make: Make) -> Result<Arc<Standards>, Error> {
        let mut hash = DefaultHasher::new();
        cotangents.iter().for_each(|(name, t)| (name, t.bytes()).hash(&mut hash));
        let key = hash.finish();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&key) {
            return Ok(Arc::clone(found));
        }
        let runs = samples(products(&self.problem));
        let mut made = self.shelved(cotangents, runs, make)?;
        let (truth, seeds) = (self.apart(), cotangents.clone());
        // what the oracle has answered once it answers again
        let closer = Closer::new(move || truth.shelved(&seeds, MORE * runs, make).unwrap_or_default());
        made.values_mut().for_each(|standard| standard.closer = Some(closer.clone()));
        let made = Arc::new(made);
        known.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// Standards that rest on so many rounded runs, from the shelf where they are there.
    fn shelved(&self, cotangents: &Tensors, runs: u64, make: Make) -> Result<Standards, Error> {
        let place = self.shelf.as_ref().map(|s| s.place(&self.problem, self.dtype, &self.inputs, cotangents, runs));
        if let Some(found) = place.as_deref().and_then(|path| shelf::find(path, &self.problem, self.dtype)) {
            return Ok(found);
        }
        let made = make(self, cotangents, runs)?;
        place.iter().for_each(|path| shelf::keep(path, &made));
        Ok(made)
    }

    /// The same question, of which nothing is known yet.
    fn apart(&self) -> Self {
        Self::new(self.problem.clone(), self.dtype, self.inputs.clone(), Tensors::new()).on(self.shelf.clone())
    }

    fn standards(
        &self,
        truth: Arrays,
        runs: u64,
        rounded: impl Fn(&Rounding) -> Result<Arrays, Error>,
        plain: Arrays,
    ) -> Result<Standards, Error> {
        let samples = roundings(self.dtype, runs).map(|r| rounded(&r)).collect::<Result<Vec<_>, Error>>()?;
        let make = |(name, truth): (String, ArrayD<f64>)| {
            let port = port(&self.problem, &name)?;
            let dtype = Problem::dtype(port, self.dtype);
            let subject = Subject { port: &name, dims: port.dims, dtype, storage: self.dtype };
            let samples: Vec<ArrayD<f64>> = samples.iter().map(|s| s[&name].clone()).collect();
            let standard = Standard::new(subject, truth, &samples).allowing(&plain[&name], self.dtype);
            Some((name, standard))
        };
        Ok(truth.into_iter().filter_map(make).collect())
    }
}

/// The port that an output or a gradient belongs to.
#[must_use]
pub fn port(problem: &Problem, name: &str) -> Option<&'static Port> {
    let input = || name.strip_prefix("d_").and_then(|input| problem.spec.input(input));
    problem.spec.output(name).or_else(input)
}

fn widen(tensors: &Tensors) -> Arrays {
    tensors.iter().map(|(name, t): (&String, &Tensor)| (name.clone(), t.to_array())).collect()
}
