//! Reverse-mode differentiation: a scalar that writes down what was done to it.
//!
//! One tape for each thread. A [`Var`] is a value and the number of its node; node 0 stands for every constant and
//! records nothing. A node is a range of edges, each a parent and the partial derivative by it; a dot product is one
//! node. A run clears the tape, calls a function and propagates cotangents back once.

use std::cell::RefCell;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Range, Sub};

use ndarray::ArrayView1;

use crate::real::{Pull, Real};
use crate::rounded::{self, Stream};
use crate::unit::{Function, Outputs, Unit};

/// A recorded real number.
#[derive(Debug, Clone, Copy)]
pub struct Var {
    value: f64,
    node: u32,
}

#[derive(Default)]
struct Tape {
    /// End of each node's edges; node `i` owns `ends[i-1]..ends[i]`.
    ends: Vec<u32>,
    parents: Vec<u32>,
    partials: Vec<f64>,
    /// How many of each node's first edges are elementwise arithmetic. The others lead to factors of a matrix product,
    /// and the adjoints of such a product are such products themselves.
    elementwise: Vec<u8>,
    adjoints: Vec<f64>,
    /// Numbers from elsewhere, in the order in which they came.
    foreign: Vec<Foreign>,
}

/// Consecutive nodes whose derivatives somebody else knows.
struct Foreign {
    nodes: Range<usize>,
    parents: Vec<u32>,
    pull: Pull,
}

thread_local! {
    static TAPE: RefCell<Tape> = RefCell::new(Tape::default());
}

impl Tape {
    fn clear(&mut self) {
        self.ends.clear();
        self.ends.push(0);
        self.parents.clear();
        self.partials.clear();
        self.elementwise.clear();
        self.foreign.clear();
    }

    fn edge(&mut self, parent: Var, partial: f64) {
        if parent.node != 0 {
            self.parents.push(parent.node);
            self.partials.push(partial);
        }
    }

    /// Closes a node over the edges pushed since the last one.
    fn close(&mut self, value: f64, elementwise: u8) -> Var {
        let end = self.parents.len() as u32;
        if self.ends.last() == Some(&end) {
            return Var { value, node: 0 };
        }
        self.ends.push(end);
        self.elementwise.push(elementwise);
        Var { value, node: self.ends.len() as u32 - 1 }
    }

    fn variable(&mut self, value: f64) -> Var {
        self.ends.push(self.parents.len() as u32);
        self.elementwise.push(0);
        Var { value, node: self.ends.len() as u32 - 1 }
    }

    fn propagate(&mut self) {
        let mut end = self.ends.len();
        while end > 1 {
            // what somebody else knows stops the walk: nothing after the last of its nodes is left by then, and they do
            // not depend on one another
            while let Some(foreign) = self.foreign.pop_if(|f| f.nodes.end == end) {
                self.pull(foreign);
            }
            let start = self.foreign.last().map_or(1, |f| f.nodes.end);
            if rounded::active() {
                Stream::with(|stream| (start..end).rev().for_each(|node| self.back(node, stream)));
            } else {
                (start..end).rev().for_each(|node| self.exactly_back(node));
            }
            end = start;
        }
    }

    fn exactly_back(&mut self, node: usize) {
        let adjoint = self.adjoints[node];
        if adjoint == 0.0 {
            return;
        }
        let edges = self.ends[node - 1] as usize..self.ends[node] as usize;
        for (&parent, partial) in self.parents[edges.clone()].iter().zip(&self.partials[edges]) {
            self.adjoints[parent as usize] += adjoint * partial;
        }
    }

    /// The same in a rounded run.
    #[inline]
    fn back(&mut self, node: usize, stream: &mut Stream) {
        let adjoint = self.adjoints[node];
        if adjoint == 0.0 {
            return;
        }
        let edges = self.ends[node - 1] as usize..self.ends[node] as usize;
        let elementwise = match self.elementwise[node - 1] {
            BORDER => return self.split(edges, adjoint, stream),
            STORED => {
                self.adjoints[self.parents[edges.start] as usize] += stream.operand(adjoint);
                return;
            }
            count => usize::from(count),
        };
        let (parents, partials) = (&self.parents[edges.clone()], &self.partials[edges]);
        for (e, (&parent, &partial)) in parents.iter().zip(partials).enumerate() {
            let term = match e < elementwise {
                true => adjoint * partial,
                false => stream.operand(adjoint) * stream.operand(partial),
            };
            let parent = &mut self.adjoints[parent as usize];
            *parent = stream.accumulated(*parent + term);
        }
    }

    /// Leads the cotangent of a state after a chunk back: what the chunk reads of it into the chunk, the rest past it.
    fn split(&mut self, edges: Range<usize>, adjoint: f64, stream: &mut Stream) {
        let read = stream.read(adjoint);
        for e in edges {
            let term = if self.partials[e] == PAST { adjoint - read } else { read };
            self.adjoints[self.parents[e] as usize] += term;
        }
    }

    fn pull(&mut self, Foreign { nodes, parents, pull }: Foreign) {
        let gradients = pull(&self.adjoints[nodes]);
        for (parent, gradient) in parents.into_iter().zip(gradients).filter(|(parent, _)| *parent != 0) {
            let adjoint = &mut self.adjoints[parent as usize];
            *adjoint = rounded::accumulated(*adjoint + gradient);
        }
    }
}

/// In the place of a node's number of elementwise edges: the state after a chunk.
const BORDER: u8 = u8::MAX;

/// In the same place: a number that memory holds.
const STORED: u8 = BORDER - 1;

/// The derivative of the state after a chunk by what only passes the chunk by; marks that edge.
const PAST: f64 = 0.0;

/// Runs `f` on variables with these values and gives the derivatives of `Σ outputs·cotangents` by each of them.
///
/// `cotangents` are asked for after the run, when the number of outputs is known.
pub(crate) fn record(
    variables: &[f64],
    f: impl FnOnce(&[Var]) -> Vec<Var>,
    cotangents: impl FnOnce(usize) -> Vec<f64>,
) -> Vec<f64> {
    let inputs: Vec<Var> = TAPE.with_borrow_mut(|tape| {
        tape.clear();
        variables.iter().map(|&x| tape.variable(x)).collect()
    });
    let outputs = f(&inputs);
    let seeds = cotangents(outputs.len());
    TAPE.with_borrow_mut(|tape| {
        tape.adjoints.clear();
        tape.adjoints.resize(tape.ends.len(), 0.0);
        for (output, seed) in outputs.iter().zip(seeds) {
            if output.node != 0 {
                tape.adjoints[output.node as usize] += seed;
            }
        }
        tape.propagate();
        tape.adjoints[1..=variables.len()].to_vec()
    })
}

/// Bytes that the last recorded run holds on this thread.
pub(crate) fn bytes() -> usize {
    TAPE.with_borrow(|t| t.parents.len() * 12 + t.ends.len() * 13)
}

fn unary(x: Var, value: f64, partial: f64) -> Var {
    TAPE.with_borrow_mut(|tape| {
        tape.edge(x, rounded::accumulated(partial));
        tape.close(rounded::accumulated(value), 1)
    })
}

fn binary(a: Var, b: Var, value: f64, by_a: f64, by_b: f64) -> Var {
    TAPE.with_borrow_mut(|tape| {
        tape.edge(a, by_a);
        tape.edge(b, by_b);
        tape.close(rounded::accumulated(value), 2)
    })
}

impl Add for Var {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        binary(self, o, self.value + o.value, 1.0, 1.0)
    }
}

impl Sub for Var {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        binary(self, o, self.value - o.value, 1.0, -1.0)
    }
}

impl Mul for Var {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        binary(self, o, self.value * o.value, o.value, self.value)
    }
}

impl Div for Var {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        let value = self.value / o.value;
        binary(self, o, value, 1.0 / o.value, -value / o.value)
    }
}

impl Neg for Var {
    type Output = Self;
    fn neg(self) -> Self {
        TAPE.with_borrow_mut(|tape| {
            tape.edge(self, -1.0);
            tape.close(-self.value, 1)
        })
    }
}

impl Sum for Var {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::zero(), Add::add)
    }
}

impl Real for Var {
    fn from_f64(x: f64) -> Self {
        Self { value: x, node: 0 }
    }
    fn value(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let e = rounded::exponential(self.value);
        unary(self, e, e)
    }
    fn ln(self) -> Self {
        unary(self, self.value.ln(), 1.0 / self.value)
    }
    fn ln_1p(self) -> Self {
        unary(self, self.value.ln_1p(), 1.0 / (1.0 + self.value))
    }
    fn of(function: &Function) -> fn(&Unit<'_, Self>) -> Outputs<Self> {
        function.var
    }
    fn varies(self) -> bool {
        self.node != 0
    }
    fn foreign(values: Vec<f64>, parents: &[Self], pull: Pull) -> Vec<Self> {
        let parents = parents.iter().map(|p| p.node).collect();
        TAPE.with_borrow_mut(|tape| {
            let variables: Vec<Self> = values.into_iter().map(|x| tape.variable(x)).collect();
            let end = tape.ends.len();
            if !variables.is_empty() {
                tape.foreign.push(Foreign { nodes: end - variables.len()..end, parents, pull });
            }
            variables
        })
    }
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        unary(self, root, 0.5 / root)
    }
    const RECORDS: bool = true;

    fn read(self) -> Self {
        unary(self, rounded::read(self.value), 1.0)
    }
    fn stored(self) -> Self {
        if !rounded::active() {
            return self;
        }
        TAPE.with_borrow_mut(|tape| {
            tape.edge(self, 1.0);
            tape.close(rounded::operand(self.value), STORED)
        })
    }
    fn split(self, past: Self) -> Self {
        TAPE.with_borrow_mut(|tape| {
            tape.edge(self, 1.0);
            tape.edge(past, PAST);
            tape.close(self.value, BORDER)
        })
    }
    fn mac(self, a: Self, b: Self) -> Self {
        let value = Stream::with(|s| s.mac(self.value, a.value, b.value));
        TAPE.with_borrow_mut(|tape| {
            tape.edge(self, 1.0);
            tape.edge(a, b.value);
            tape.edge(b, a.value);
            tape.close(value, u8::from(self.node != 0))
        })
    }
    fn dot(a: ArrayView1<'_, Self>, b: ArrayView1<'_, Self>) -> Self {
        TAPE.with_borrow_mut(|tape| {
            let sum = Stream::with(|stream| {
                a.iter().zip(b).fold(0.0, |sum, (&a, &b)| {
                    tape.edge(a, b.value);
                    tape.edge(b, a.value);
                    stream.mac(sum, a.value, b.value)
                })
            });
            tape.close(sum, 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_differentiates_by_both_factors() {
        assert_eq!(record(&[3.0, 5.0], |x| vec![x[0] * x[1] + x[0]], |_| vec![1.0]), [6.0, 3.0]);
    }

    #[test]
    fn constants_record_nothing() {
        let f = |x: &[Var]| vec![Var::one() * Var::from_f64(4.0), x[0].exp()];
        assert_eq!(record(&[2.0], f, |_| vec![7.0, 1.0]), [2f64.exp()]);
    }

    #[test]
    fn numbers_from_elsewhere_have_the_derivatives_that_they_say() {
        // (a, b) = (x y, x + y), and x² times their sum
        let f = |x: &[Var]| {
            let values = vec![x[0].value() * x[1].value(), x[0].value() + x[1].value()];
            let pull: Pull = Box::new(|c: &[f64]| vec![c[0] * 5.0 + c[1], c[0] * 3.0 + c[1]]);
            let from = Var::foreign(values, &[x[0], x[1], Var::one()][..2], pull);
            vec![x[0] * x[0] * (from[0] + from[1])]
        };
        assert_eq!(record(&[3.0, 5.0], f, |_| vec![1.0]), [2.0 * 3.0 * 23.0 + 9.0 * 6.0, 9.0 * 4.0]);
    }

    #[test]
    fn an_unused_variable_has_gradient_zero() {
        assert_eq!(record(&[4.0, 9.0], |x| vec![x[0].sqrt()], |_| vec![1.0]), [0.25, 0.0]);
    }

    #[test]
    fn adjoints_of_factors_round_like_operands_and_others_like_the_accumulator() {
        let derivatives = |operand, accumulate| {
            let f = |x: &[Var]| vec![x[0].mac(x[1], x[2]), x[3] * x[4]];
            let rounding = rounded::Rounding { operand, accumulate, seed: 1, ..Default::default() };
            rounded::with(&rounding, 0, || record(&[1.0; 5], f, |_| vec![1.001; 2]))
        };
        let is_exact = |d: Vec<f64>| d.into_iter().map(|d| d.to_bits() == 1.001f64.to_bits()).collect::<Vec<_>>();
        assert_eq!(is_exact(derivatives(1.0 / 256.0, 0.0)), [true, false, false, true, true]);
        assert_eq!(is_exact(derivatives(0.0, 1.0 / 256.0)), [false; 5]);
    }
}
