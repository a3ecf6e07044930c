//! The truth about one question, and its floor: computed once, shared by the checks of a case.

pub mod shelf;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::ArrayD;
use reference::error::Error;
use reference::oracle;
use reference::problem::Problem;
use reference::spec::Port;
use reference::tensor::{Arrays, DType, Tensor, Tensors};

use crate::case::{Case, products};
use crate::measure::{PLAIN, Standard, Subject, roundings, samples};
use crate::sample;
use shelf::Shelf;

/// Standards by port.
pub type Standards = BTreeMap<String, Standard>;

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
        self.cached(&Tensors::new(), || {
            let inputs = widen(&self.inputs);
            let mut truth = oracle::forward(&self.problem, &inputs)?;
            truth.retain(|name, _| self.problem.outputs().any(|p| p.name == name));
            let sample = |r| Ok(oracle::rounded(&self.problem, &inputs, &Arrays::new(), &[], &r)?.outputs);
            let samples = roundings(self.dtype, samples(products(&self.problem)))
                .map(sample)
                .collect::<Result<Vec<_>, Error>>()?;
            let plain = oracle::forward_f32(&self.problem, &inputs)?;
            let standards = self.standards(truth, &samples)?.into_iter();
            Ok(standards.map(|(name, s)| (name.clone(), s.allowing(&plain[&name], self.dtype))).collect())
        })
    }

    /// Standards of the gradient by every differentiable input, with these cotangents and zeros for the others.
    ///
    /// # Errors
    /// Inputs or cotangents that do not fit the problem.
    pub fn gradients(&self, cotangents: &Tensors) -> Result<Arc<Standards>, Error> {
        self.cached(cotangents, || {
            let (inputs, seeds) = (widen(&self.inputs), widen(cotangents));
            let want: Vec<&str> = self.problem.differentiable().map(|p| p.name).collect();
            let truth = oracle::gradients(&self.problem, &inputs, &seeds, &want)?.gradients;
            let sample = |r| Ok(oracle::rounded(&self.problem, &inputs, &seeds, &want, &r)?.gradients);
            let samples = roundings(self.dtype, samples(products(&self.problem)))
                .map(sample)
                .collect::<Result<Vec<_>, Error>>()?;
            let plain = oracle::rounded(&self.problem, &inputs, &seeds, &want, &PLAIN)?.gradients;
            let standards = self.standards(truth, &samples)?.into_iter();
            Ok(standards.map(|(name, s)| (name.clone(), s.allowing(&plain[&name], self.dtype))).collect())
        })
    }

    fn cached(
        &self,
        cotangents: &Tensors,
        make: impl FnOnce() -> Result<Standards, Error>,
    ) -> Result<Arc<Standards>, Error> {
        let mut hash = DefaultHasher::new();
        cotangents.iter().for_each(|(name, t)| (name, t.bytes()).hash(&mut hash));
        let key = hash.finish();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&key) {
            return Ok(Arc::clone(found));
        }
        let place = self.shelf.as_ref().map(|s| s.place(&self.problem, self.dtype, &self.inputs, cotangents));
        let made = match place.as_deref().and_then(|path| shelf::find(path, &self.problem, self.dtype)) {
            Some(found) => found,
            None => {
                let made = make()?;
                place.iter().for_each(|path| shelf::keep(path, &made));
                made
            }
        };
        let made = Arc::new(made);
        known.insert(key, Arc::clone(&made));
        Ok(made)
    }

    fn standards(&self, truth: Arrays, samples: &[Arrays]) -> Result<Standards, Error> {
        let make = |(name, truth): (String, ArrayD<f64>)| {
            let port = port(&self.problem, &name)?;
            let dtype = Problem::dtype(port, self.dtype);
            let subject = Subject { port: &name, dims: port.dims, dtype, storage: self.dtype };
            let samples: Vec<ArrayD<f64>> = samples.iter().map(|s| s[&name].clone()).collect();
            let standard = Standard::new(subject, truth, &samples);
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
