//! A run seen from outside: what passes a place, forwards and backwards, and questions that somebody else answers.
//!
//! A [`Tap`] is attached to a thread for the time of a run of the tape ([`crate::oracle::traced`]). A model says what
//! its blocks leave; every [`crate::call::Call`] asks the tap before it asks the oracle, so that one layer of a model,
//! or one op of a layer, can be answered from elsewhere, values and gradients, while all the rest stays exact.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use ndarray::{ArrayBase, ArrayD, Data, Dimension};

use crate::problem::Problem;
use crate::real::Real;
use crate::spec::Port;
use crate::tensor::Arrays;

/// What is attached to a run.
///
/// It must not use the tape of its own thread: what needs the oracle is computed on another one.
pub trait Tap {
    /// A sequence begins; they come in order.
    fn begin(&mut self, _sequence: usize) {}

    /// These values pass a place.
    fn pass(&mut self, _place: &str, _values: ArrayD<f64>) {}

    /// The gradient by the values at a place comes back.
    fn back(&mut self, _place: &str, _gradient: ArrayD<f64>) {}

    /// Something is asked. The answer are all outputs that the problem produces, in its shapes, and a number by which
    /// gradients are asked for later; `None` leaves the question to the oracle.
    fn answer(&mut self, _question: &Question<'_>) -> Option<(usize, Arrays)> {
        None
    }

    /// The gradients `d_<input>`, by what varies in it, of a question that was answered. Missing ones are zero.
    fn pull(&mut self, _number: usize, _cotangents: Arrays) -> Arrays {
        Arrays::new()
    }
}

/// A question of a run, about one sequence.
#[derive(Debug)]
pub struct Question<'a> {
    /// Spec, extents, attributes.
    pub problem: &'a Problem,
    /// Its inputs.
    pub inputs: &'a Arrays,
    /// Inputs by which a gradient will be asked for; the others are constants of the run.
    pub varying: &'a BTreeSet<&'static str>,
}

/// A tap that several runs may share.
pub type Shared = Rc<RefCell<dyn Tap>>;

thread_local! {
    static TAP: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Takes the tap off again, whatever happens.
struct Attached;

impl Drop for Attached {
    fn drop(&mut self) {
        TAP.set(None);
    }
}

/// Runs `f` on this thread with `tap` attached.
pub(crate) fn with<R>(tap: &Shared, sequence: usize, f: impl FnOnce() -> R) -> R {
    tap.borrow_mut().begin(sequence);
    TAP.set(Some(Rc::clone(tap)));
    let _attached = Attached;
    f()
}

fn attached() -> Option<Shared> {
    TAP.with_borrow(Clone::clone)
}

/// Lets an array pass a place: it goes on as it is, and a tap sees it and its gradient.
pub(crate) fn pass<F: Real, D: Dimension>(
    place: impl FnOnce() -> String,
    array: ArrayBase<ndarray::OwnedRepr<F>, D>,
) -> ArrayBase<ndarray::OwnedRepr<F>, D> {
    let Some(tap) = attached() else { return array };
    let (place, values) = (place(), values(&array).into_dyn());
    tap.borrow_mut().pass(&place, values.clone());
    let (shape, parents) = (values.raw_dim(), flat(&array));
    let pull = move |gradient: &[f64]| {
        let back = ArrayD::from_shape_vec(shape, gradient.to_vec()).expect("a gradient for each value");
        tap.borrow_mut().back(&place, back);
        gradient.to_vec()
    };
    let passed = F::foreign(values.iter().copied().collect(), &parents, Box::new(pull));
    ArrayBase::from_shape_vec(array.raw_dim(), passed).expect("as many values as came")
}

/// The answer of the tap to a question, if there is a tap and it has one.
///
/// # Panics
/// When an answer lacks an output, or has one of another shape: a tap answers in full.
pub(crate) fn answer<F: Real>(problem: &Problem, inputs: &Arrays<F>) -> Option<Arrays<F>> {
    let tap = attached()?;
    let plain: Arrays = inputs.iter().map(|(name, a)| (name.clone(), values(a))).collect();
    let moves = |p: &&Port| p.differentiable && inputs.get(p.name).is_some_and(|a| a.iter().any(|x| x.varies()));
    let variable: Vec<&'static Port> = problem.inputs().filter(moves).collect();
    let varying: BTreeSet<&'static str> = variable.iter().map(|p| p.name).collect();
    let question = Question { problem, inputs: &plain, varying: &varying };
    let (number, answers) = tap.borrow_mut().answer(&question)?;
    let produced: Vec<&'static Port> = problem.produced().collect();
    let shapes: Vec<(String, Vec<usize>)> =
        produced.iter().map(|p| (format!("d_{}", p.name), problem.shape(p))).collect();
    let parents: Vec<F> = variable.iter().flat_map(|p| inputs[p.name].iter().copied()).collect();
    let wanted: Vec<(String, usize)> =
        variable.iter().map(|p| (format!("d_{}", p.name), inputs[p.name].len())).collect();
    let flat: Vec<f64> = produced.iter().flat_map(|p| answers[p.name].iter().copied()).collect();
    let parts = shapes.clone();
    let pull = move |cotangents: &[f64]| {
        let gradients = tap.borrow_mut().pull(number, cut(&parts, cotangents));
        let gradient = |(name, count): &(String, usize)| match gradients.get(name).filter(|g| g.len() == *count) {
            Some(g) => g.iter().copied().collect(),
            None => vec![0.0; *count],
        };
        wanted.iter().flat_map(gradient).collect()
    };
    let outputs = cut(&shapes, &F::foreign(flat, &parents, Box::new(pull)));
    Some(outputs.into_iter().map(|(name, a)| (name["d_".len()..].to_owned(), a)).collect())
}

/// A flat list as arrays of these names and shapes.
fn cut<F: Copy>(shapes: &[(String, Vec<usize>)], mut rest: &[F]) -> Arrays<F> {
    let mut arrays = Arrays::new();
    for (name, shape) in shapes {
        let (mine, others) = rest.split_at(shape.iter().product());
        let array = ArrayD::from_shape_vec(shape.clone(), mine.to_vec());
        arrays.insert(name.clone(), array.expect("as many numbers as the shape has"));
        rest = others;
    }
    arrays
}

fn values<F: Real, S: Data<Elem = F>, D: Dimension>(array: &ArrayBase<S, D>) -> ndarray::Array<f64, D> {
    array.map(|x| x.value())
}

fn flat<F: Real, S: Data<Elem = F>, D: Dimension>(array: &ArrayBase<S, D>) -> Vec<F> {
    array.iter().copied().collect()
}
