//! One independent slice of an op: what an op's function sees.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{ArrayD, ArrayView0, ArrayView1, ArrayView2, ArrayView3, ArrayViewD, Dimension, Ix0, Ix1, Ix2, Ix3};

use crate::dual::Dual;
use crate::problem::Problem;
use crate::real::Real;
use crate::rounded::Rounded;
use crate::spec::Dim;
use crate::tape::Var;

/// The inputs of one slice: one sequence of one head. The independent axes are gone from every port, time runs
/// forwards, and absent optional inputs are what their presence says: zeros, mostly.
#[derive(Debug)]
pub struct Unit<'a, F> {
    /// Attributes and extents of the whole problem.
    pub problem: &'a Problem,
    /// Tokens of this sequence.
    pub tokens: usize,
    pub(crate) asked: Range<usize>,
    pub(crate) fixed: &'a [(Dim, usize)],
    pub(crate) inputs: Parts<F>,
}

impl<F: Real> Unit<'_, F> {
    fn view<D: Dimension>(&self, name: &str) -> ndarray::ArrayView<'_, F, D> {
        let array: ArrayViewD<'_, F> = self.inputs[name].view();
        array.into_dimensionality().expect("an op asks for its ports with the ranks of its own spec")
    }

    /// Where this slice lies along an independent axis other than the batch: which head it is.
    #[must_use]
    pub fn index(&self, axis: Dim) -> usize {
        self.fixed.iter().find(|(dim, _)| *dim == axis).map(|&(_, i)| i).expect("an op asks for its independent axes")
    }

    /// Tokens whose outputs are looked at: all of them, unless gradients are taken for a few tokens at a time. An op
    /// without states may leave the rows of the others as they are; it need not.
    #[must_use]
    pub fn asked(&self) -> Range<usize> {
        self.asked.clone()
    }

    /// A per-head number: `[]`.
    #[must_use]
    pub fn scalar(&self, name: &str) -> F {
        let view: ArrayView0<'_, F> = self.view::<Ix0>(name);
        *view.into_scalar()
    }

    /// A vector: `[T]`.
    #[must_use]
    pub fn vector(&self, name: &str) -> ArrayView1<'_, F> {
        self.view::<Ix1>(name)
    }

    /// A matrix: `[T, K]`, `[K, V]`.
    #[must_use]
    pub fn matrix(&self, name: &str) -> ArrayView2<'_, F> {
        self.view::<Ix2>(name)
    }

    /// Three dimensions: `[T, R, K]`.
    #[must_use]
    pub fn cube(&self, name: &str) -> ArrayView3<'_, F> {
        self.view::<Ix3>(name)
    }

    /// Any number of dimensions.
    #[must_use]
    pub fn tensor(&self, name: &str) -> ArrayViewD<'_, F> {
        self.inputs[name].view()
    }

    /// Whether an optional input is given.
    #[must_use]
    pub fn given(&self, name: &str) -> bool {
        self.problem.spec.input(name).is_some_and(|port| self.problem.has(port))
    }
}

/// Arrays of one slice, by port.
pub type Parts<F> = BTreeMap<&'static str, ArrayD<F>>;

/// The outputs of one slice, in the spec's order.
pub type Outputs<F> = Vec<ArrayD<F>>;

/// An op's mathematics at every scalar. Build it with [`function!`](crate::function).
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// The truth.
    pub f64: fn(&Unit<'_, f64>) -> Outputs<f64>,
    /// A plain candidate.
    pub f32: fn(&Unit<'_, f32>) -> Outputs<f32>,
    /// Gradients.
    pub var: fn(&Unit<'_, Var>) -> Outputs<Var>,
    /// Directional derivatives.
    pub dual: fn(&Unit<'_, Dual>) -> Outputs<Dual>,
    /// Rounding at a declared precision.
    pub rounded: fn(&Unit<'_, Rounded>) -> Outputs<Rounded>,
}

/// `function!(f)` instantiates the generic `fn f<F: Real>(unit: &Unit<'_, F>) -> Outputs<F>` at every scalar.
#[macro_export]
macro_rules! function {
    ($f:ident) => {
        $crate::unit::Function { f64: $f, f32: $f, var: $f, dual: $f, rounded: $f }
    };
}
