//! Gradients in bounded memory: the tape holds one segment of one slice at a time.

mod rows;

use std::ops::Range;

use ndarray::{ArrayD, Axis, Dimension};
use rayon::prelude::*;

use super::pieces::{Pieces, folds, span};
use super::slice::{self, Slice};
use super::{Answer, check};
use crate::error::Error;
use crate::problem::Problem;
use crate::real::Real;
use crate::rounded::{self, CHUNK, Rounded, Rounding};
use crate::spec::Port;
use crate::tap::{self, Shared};
use crate::tape::{self, Var};
use crate::tensor::Arrays;
use crate::unit::Unit;

/// Tape bytes that one thread may hold.
const BUDGET: usize = 192 << 20;

type Parts = crate::unit::Parts<f64>;

pub(super) fn answer(
    problem: &Problem,
    inputs: &Arrays,
    cotangents: &Arrays,
    want: &[&str],
    rounding: Option<&Rounding>,
) -> Result<Answer, Error> {
    check(problem, inputs)?;
    let want = wanted(problem, want)?;
    check_cotangents(problem, cotangents)?;
    let units = slice::units(problem);
    let results: Vec<(Parts, Parts)> = units
        .par_iter()
        .enumerate()
        .map(|(i, unit)| {
            let work = || Work::new(problem, unit, inputs, cotangents, &want, rounding.is_some());
            match rounding {
                Some(rounding) => rounded::with(rounding, i as u64, || work().folded().run()),
                None => work().run(),
            }
        })
        .collect();
    Ok(joined(problem, &units, &results, &want))
}

/// The same, sequence by sequence on this thread, each on one tape as a whole, for `tap` to see.
pub(super) fn traced(
    problem: &Problem,
    inputs: &Arrays,
    cotangents: &Arrays,
    rounding: Option<&Rounding>,
    tap: &Shared,
) -> Result<Answer, Error> {
    check(problem, inputs)?;
    let want: Vec<&'static Port> = problem.differentiable().collect();
    check_cotangents(problem, cotangents)?;
    let units = slice::units(problem);
    let run = |(i, unit): (usize, &Slice)| {
        let work = Work::new(problem, unit, inputs, cotangents, &want, rounding.is_some());
        tap::with(tap, i, || match rounding {
            Some(rounding) => rounded::with(rounding, i as u64, || work.at_once()),
            None => work.at_once(),
        })
    };
    let results: Vec<(Parts, Parts)> = units.iter().enumerate().map(run).collect();
    Ok(joined(problem, &units, &results, &want))
}

/// Outputs and gradients of the whole, from those of its slices.
fn joined(problem: &Problem, units: &[Slice], results: &[(Parts, Parts)], want: &[&'static Port]) -> Answer {
    let mut answer = Answer::default();
    for port in problem.produced() {
        let mut whole = ArrayD::zeros(problem.shape(port));
        for (unit, (outputs, _)) in units.iter().zip(results) {
            unit.part_mut(problem, port, &mut whole).assign(&outputs[port.name]);
        }
        answer.outputs.insert(port.name.to_owned(), whole);
    }
    for port in want {
        let mut whole = ArrayD::zeros(problem.shape(port));
        for (unit, (_, gradients)) in units.iter().zip(results) {
            let mut part = unit.part_mut(problem, port, &mut whole);
            part += &gradients[port.name];
        }
        answer.gradients.insert(format!("d_{}", port.name), whole);
    }
    answer
}

fn wanted(problem: &Problem, want: &[&str]) -> Result<Vec<&'static Port>, Error> {
    let unknown = |name: &str| {
        let expected = problem.differentiable().map(|p| p.name).collect::<Vec<_>>().join(", ");
        let op = problem.spec.name.to_owned();
        Error::Unknown { op, kind: "differentiable input", name: name.to_owned(), expected }
    };
    want.iter().map(|&name| problem.differentiable().find(|p| p.name == name).ok_or_else(|| unknown(name))).collect()
}

fn check_cotangents(problem: &Problem, cotangents: &Arrays) -> Result<(), Error> {
    for (name, array) in cotangents {
        let Some(port) = name.strip_prefix("d_").and_then(|o| problem.produced().find(|p| p.name == o)) else {
            let expected = problem.produced().map(|p| format!("d_{}", p.name)).collect::<Vec<_>>();
            let op = problem.spec.name.to_owned();
            return Err(Error::Unknown { op, kind: "cotangent", name: name.clone(), expected: expected.join(", ") });
        };
        problem.expect(port, array.shape())?;
    }
    Ok(())
}

/// The gradient of one slice.
struct Work<'a> {
    problem: &'a Problem,
    pieces: Pieces<'a>,
    tokens: usize,
    inputs: Parts,
    cotangents: Parts,
    want: &'a [&'static Port],
    rounds: bool,
    /// Tape bytes of one segment.
    budget: usize,
}

impl<'a> Work<'a> {
    fn new(
        problem: &'a Problem,
        unit: &'a Slice,
        inputs: &Arrays,
        cotangents: &Arrays,
        want: &'a [&'static Port],
        rounds: bool,
    ) -> Self {
        let seed =
            |port: &Port| cotangents.get(&format!("d_{}", port.name)).map(|c| unit.part(problem, port, c).to_owned());
        let cotangents = problem.spec.outputs.iter().filter_map(|p| Some((p.name, seed(p)?))).collect();
        let (tokens, inputs) = (unit.tokens(), unit.inputs(problem, inputs));
        let pieces = Pieces::of(problem, unit);
        Self { problem, pieces, tokens, inputs, cotangents, want, rounds, budget: BUDGET }
    }

    /// The same with inputs and cotangents as kernels use them.
    fn folded(mut self) -> Self {
        if self.pieces.kernel() {
            let inputs = self.pieces.folded(super::widen(self.inputs, Rounded::from_f64));
            self.inputs = inputs.into_iter().map(|(name, a)| (name, a.mapv(Real::value))).collect();
            for port in self.problem.spec.outputs.iter().filter(|p| folds(p)) {
                self.cotangents.entry(port.name).and_modify(|d| d.mapv_inplace(rounded::read));
            }
        }
        self
    }

    fn run(&self) -> (Parts, Parts) {
        let segments = self.segments();
        let (starts, outputs) = self.forward(&segments);
        if self.want.is_empty() {
            return (outputs, Parts::new());
        }
        let mut gradients: Parts =
            self.want.iter().map(|p| (p.name, ArrayD::zeros(self.inputs[p.name].raw_dim()))).collect();
        let states = self.problem.spec.states;
        let mut carried: Parts =
            states.iter().filter_map(|s| Some((s.initial, self.cotangents.get(s.last)?.clone()))).collect();
        for (segment, start) in segments.iter().zip(&starts).rev() {
            let read = self.read(&carried);
            let past = self.past(segment, start, &carried, &read);
            for (name, gradient) in self.backward(segment, start, &read) {
                if states.iter().any(|s| s.initial == name) {
                    let past = past.as_ref().map(|p| &p[name]);
                    carried.insert(name, past.map_or_else(|| gradient.clone(), |p| &gradient + p));
                } else if let Some(total) = gradients.get_mut(name) {
                    let mut part = total.view_mut();
                    if let Some(axis) = self.pieces.token_axis(self.pieces.input(name)) {
                        part.slice_axis_inplace(Axis(axis), span(segment));
                    }
                    part += &gradient;
                }
            }
        }
        for (name, gradient) in carried {
            if let Some(total) = gradients.get_mut(name) {
                total.assign(&gradient);
            }
        }
        (outputs, gradients)
    }

    /// Cuts along time, from the tape that one token needs.
    fn segments(&self) -> Vec<Range<usize>> {
        let gradients = !self.want.is_empty();
        if !(gradients || self.rounds) || self.problem.spec.states.is_empty() || self.tokens < 2 {
            return std::iter::once(0..self.tokens).collect();
        }
        let mut length = if self.rounds { CHUNK } else { self.tokens };
        if gradients {
            let start = self.pieces.states(&self.inputs);
            self.backward(&(0..1), &start, &Parts::new());
            length = (self.budget / tape::bytes().max(1)).clamp(1, length);
        }
        (0..self.tokens).step_by(length).map(|t| t..(t + length).min(self.tokens)).collect()
    }

    /// The state that each segment reads, and the outputs of the whole.
    fn forward(&self, segments: &[Range<usize>]) -> (Vec<Parts>, Parts) {
        let mut state = self.pieces.states(&self.inputs);
        let mut starts: Vec<Parts> = Vec::new();
        let mut done: Vec<Parts> = Vec::new();
        for segment in segments {
            let read = self.read(&state);
            let mut values = self.values(segment.len(), self.pieces.cut(&self.inputs, segment, &read));
            if self.borders() {
                let rest = self.pieces.beside(&self.pieces.rest(&state, &read), &state);
                let past = self.pieces.decayed(&self.inputs, segment, &rest);
                for s in self.problem.spec.states.iter().filter(|s| !s.elementwise) {
                    *values.get_mut(s.last).expect("a state is an output") += &past[s.last];
                }
            }
            state = self.problem.spec.states.iter().map(|s| (s.initial, values[s.last].clone())).collect();
            starts.push(read);
            done.push(values);
        }
        (starts, self.pieces.join(&done))
    }

    /// Whether states are rounded at the borders of segments.
    fn borders(&self) -> bool {
        self.rounds && self.pieces.borders()
    }

    /// States, or their cotangents, as a chunk reads them.
    fn read(&self, states: &Parts) -> Parts {
        let round = |name, a: &ArrayD<f64>| match self.borders() && !self.pieces.elementwise(name) {
            true => a.mapv(rounded::read),
            false => a.clone(),
        };
        states.iter().map(|(&name, a)| (name, round(name, a))).collect()
    }

    /// What passes a segment by of the cotangents of its states.
    fn past(&self, segment: &Range<usize>, start: &Parts, carried: &Parts, read: &Parts) -> Option<Parts> {
        self.borders().then(|| {
            let rest = self.pieces.rest(carried, read);
            let inputs = self.pieces.still(self.pieces.cut(&self.inputs, segment, start));
            let names: Vec<&'static str> = start.keys().copied().collect();
            let seeds = |total| self.seeds(segment, None, &rest, total);
            self.differentiate(segment.len(), 0..segment.len(), inputs, &names, seeds, |_| {})
        })
    }

    /// The op's outputs on one piece, as values.
    fn values(&self, tokens: usize, inputs: Parts) -> Parts {
        let function = &self.problem.spec.function;
        if !self.rounds {
            return self.pieces.named((function.f64)(&self.pieces.unit(tokens, inputs)));
        }
        let outputs = (function.rounded)(&self.pieces.unit(tokens, super::widen(inputs, Rounded::from_f64)));
        self.pieces.named(outputs.into_iter().map(|a| a.mapv(Real::value)).collect())
    }

    /// Gradients of one segment by the wanted inputs and the initial states.
    fn backward(&self, segment: &Range<usize>, state: &Parts, carried: &Parts) -> Parts {
        let inputs = self.pieces.cut(&self.inputs, segment, state);
        let variable = |name: &str| state.contains_key(name) || self.want.iter().any(|p| p.name == name);
        let names: Vec<&'static str> = inputs.keys().copied().filter(|n| variable(n)).collect();
        let part = |rows: Range<usize>| {
            let seeds = |total| self.seeds(segment, Some(&rows), carried, total);
            self.differentiate(segment.len(), rows.clone(), inputs.clone(), &names, seeds, |_| {})
        };
        let parts = self.rows(segment.len(), &inputs, &names).into_iter().map(part);
        parts.reduce(rows::sum).expect("at least one part")
    }

    /// Outputs and gradients from one run over all tokens.
    fn at_once(&self) -> (Parts, Parts) {
        let names: Vec<&'static str> = self.want.iter().map(|p| p.name).collect();
        let whole = 0..self.tokens;
        let last = |port: &Port| self.problem.spec.states.iter().find(|s| s.last == port.name);
        let states = self.problem.spec.outputs.iter().filter_map(|p| Some((last(p)?.initial, p.name)));
        let carried = states.filter_map(|(initial, last)| Some((initial, self.cotangents.get(last)?.clone())));
        let carried: Parts = carried.collect();
        let mut outputs = Parts::new();
        let seeds = |total| self.seeds(&whole, Some(&whole), &carried, total);
        let keep = |run: &[ArrayD<Var>]| outputs = self.pieces.named(run.iter().map(|a| a.mapv(Real::value)).collect());
        let gradients = self.differentiate(self.tokens, whole.clone(), self.inputs.clone(), &names, seeds, keep);
        (outputs, gradients)
    }

    /// Gradients of one piece by the inputs of these names, its outputs being asked for at some tokens; `keep` sees the
    /// outputs.
    fn differentiate(
        &self,
        tokens: usize,
        asked: Range<usize>,
        inputs: Parts,
        names: &[&'static str],
        seeds: impl FnOnce(usize) -> Vec<f64>,
        keep: impl FnOnce(&[ArrayD<Var>]),
    ) -> Parts {
        let values = flat(names.iter().map(|n| &inputs[n]));
        let shapes: Vec<_> = names.iter().map(|n| inputs[n].raw_dim()).collect();
        let function = |variables: &[Var]| {
            let mut rest = variables;
            let mut parts = super::widen(inputs, Var::from_f64);
            for (name, shape) in names.iter().zip(&shapes) {
                let (mine, others) = rest.split_at(shape.size());
                let array = ArrayD::from_shape_vec(shape.clone(), mine.to_vec());
                parts.insert(name, array.expect("as many variables as elements"));
                rest = others;
            }
            let unit = Unit { asked, ..self.pieces.unit(tokens, parts) };
            let outputs = (self.problem.spec.function.var)(&unit);
            keep(&outputs);
            flat(&outputs)
        };
        let recorded = tape::record(&values, function, seeds);
        let mut rest = recorded.as_slice();
        let mut found = Parts::new();
        for (name, shape) in names.iter().zip(&shapes) {
            let (mine, others) = rest.split_at(shape.size());
            let array = ArrayD::from_shape_vec(shape.clone(), mine.to_vec());
            found.insert(name, array.expect("as many gradients as elements"));
            rest = others;
        }
        found
    }

    /// Cotangents of a segment's outputs, flattened in the spec's order: of its states, and of some of its rows.
    fn seeds(&self, segment: &Range<usize>, rows: Option<&Range<usize>>, carried: &Parts, total: usize) -> Vec<f64> {
        let mut seeds = Vec::with_capacity(total);
        for port in self.problem.spec.outputs {
            match self.seed(port, segment, rows, carried) {
                Some(seed) => append(&mut seeds, &seed),
                None => seeds.extend(std::iter::repeat_n(0.0, self.pieces.extent(port, segment))),
            }
        }
        seeds
    }

    fn seed(
        &self,
        port: &Port,
        segment: &Range<usize>,
        rows: Option<&Range<usize>>,
        carried: &Parts,
    ) -> Option<ArrayD<f64>> {
        if let Some(state) = self.problem.spec.states.iter().find(|s| s.last == port.name) {
            return carried.get(state.initial).cloned();
        }
        let (rows, whole) = (rows?, self.cotangents.get(port.name)?);
        Some(match self.pieces.token_axis(port) {
            Some(axis) => rows::only(whole.slice_axis(Axis(axis), span(segment)).to_owned(), Axis(axis), rows),
            None => whole.clone(),
        })
    }
}

/// All elements of the arrays, one array after the other.
fn flat<'a, A: Copy + 'a>(arrays: impl IntoIterator<Item = &'a ArrayD<A>>) -> Vec<A> {
    let mut all = Vec::new();
    arrays.into_iter().for_each(|array| append(&mut all, array));
    all
}

fn append<A: Copy>(all: &mut Vec<A>, array: &ArrayD<A>) {
    match array.as_slice() {
        Some(elements) => all.extend_from_slice(elements),
        None => all.extend(array),
    }
}

#[cfg(test)]
mod tests;
