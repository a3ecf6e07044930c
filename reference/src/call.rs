//! How a layer uses an op, and a model a layer: another spec's function on the same sequence, at the same scalar.

use std::collections::BTreeMap;

use ndarray::{ArrayBase, ArrayD, Axis, Data, Dimension, Ix1, Ix2, Ix3, OwnedRepr};

use crate::oracle;
use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Attrs, Dim, OpSpec, Port, Value};
use crate::tap;
use crate::tensor::Arrays;

/// A question about one sequence: tensors are `[T, H, ·]`, states `[H, ·, ·]`, without an axis for the batch.
#[derive(Debug)]
pub struct Call<F> {
    spec: &'static OpSpec,
    attrs: Attrs,
    inputs: Arrays<F>,
}

/// The answers, by the names of the outputs.
#[derive(Debug)]
pub struct Answers<F>(Arrays<F>);

impl<F: Real> Call<F> {
    /// A question to which nothing is given yet.
    #[must_use]
    pub fn of(spec: &'static OpSpec) -> Self {
        Self { spec, attrs: Attrs::new(), inputs: Arrays::new() }
    }

    /// The same with an input.
    #[must_use]
    pub fn with<S: Data<Elem = F>, D: Dimension>(mut self, name: &str, array: ArrayBase<S, D>) -> Self {
        self.inputs.insert(name.to_owned(), array.to_owned().into_dyn());
        self
    }

    /// The same with a number for an attribute.
    #[must_use]
    pub fn number(mut self, name: &'static str, x: f64) -> Self {
        self.attrs.insert(name, Value::Number(x));
        self
    }

    /// The same with an attribute.
    #[must_use]
    pub fn value(mut self, name: &'static str, x: Value) -> Self {
        self.attrs.insert(name, x);
        self
    }

    /// The same with a flag attribute.
    #[must_use]
    pub fn flag(mut self, name: &'static str, on: bool) -> Self {
        self.attrs.insert(name, Value::Flag(on));
        self
    }

    /// Asks.
    ///
    /// # Panics
    /// When the question does not fit the spec: a layer's own shapes and constraints rule that out.
    #[must_use]
    pub fn run(mut self) -> Answers<F> {
        let spec = self.spec;
        for port in spec.inputs {
            let Some(axis) = batch(port) else { continue };
            if let Some(array) = self.inputs.remove(port.name) {
                self.inputs.insert(port.name.to_owned(), array.insert_axis(axis));
            }
        }
        let shapes: BTreeMap<_, _> = self.inputs.iter().map(|(name, a)| (name.clone(), a.shape().to_vec())).collect();
        let problem = Problem::infer(spec, self.attrs, &shapes, None)
            .unwrap_or_else(|error| panic!("a layer asks {} what it cannot: {error}", spec.name));
        let elsewhere = tap::answer(&problem, &self.inputs);
        let mut outputs = elsewhere.unwrap_or_else(|| oracle::apply(&problem, &self.inputs));
        for port in problem.produced() {
            if let (Some(axis), Some(array)) = (batch(port), outputs.get_mut(port.name)) {
                array.index_axis_inplace(axis, 0);
            }
        }
        Answers(outputs)
    }
}

/// The axis of rows or sequences.
fn batch(port: &Port) -> Option<Axis> {
    port.dims.iter().position(|d| matches!(d, Dim::B | Dim::N)).map(Axis)
}

impl<F: Real> Answers<F> {
    /// Whether there is an output of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The output of that name, which leaves.
    ///
    /// # Panics
    /// When the spec has no such output, or it was taken already.
    #[must_use]
    pub fn take(&mut self, name: &str) -> ArrayD<F> {
        self.0.remove(name).unwrap_or_else(|| panic!("no output {name}, or not any more"))
    }

    fn fixed<D: Dimension>(&mut self, name: &str) -> ArrayBase<OwnedRepr<F>, D> {
        self.take(name).into_dimensionality().expect("a layer asks for outputs with the ranks of their spec")
    }

    /// `[T]`.
    #[must_use]
    pub fn vector(&mut self, name: &str) -> ArrayBase<OwnedRepr<F>, Ix1> {
        self.fixed(name)
    }

    /// `[T, H]`.
    #[must_use]
    pub fn matrix(&mut self, name: &str) -> ArrayBase<OwnedRepr<F>, Ix2> {
        self.fixed(name)
    }

    /// `[T, H, V]`, `[H, K, V]`.
    #[must_use]
    pub fn cube(&mut self, name: &str) -> ArrayBase<OwnedRepr<F>, Ix3> {
        self.fixed(name)
    }
}
