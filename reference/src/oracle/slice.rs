//! Independent slices of a problem: which part of every tensor belongs to one sequence of one head.

use std::ops::Range;

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis, Slice as Span};

use crate::problem::Problem;
use crate::real::Real;
use crate::spec::{Dim, Port};
use crate::tensor::Arrays;
use crate::unit::Parts;

/// One independent slice.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    row: usize,
    sequence: usize,
    span: Range<usize>,
    /// Index along each independent axis other than the batch.
    fixed: Vec<(Dim, usize)>,
}

/// Every slice of a problem: sequences outermost, then the other independent axes in the spec's order.
pub(super) fn units(problem: &Problem) -> Vec<Slice> {
    let mut fixed = vec![Vec::new()];
    for &axis in problem.spec.independent.iter().filter(|&&d| d != Dim::B) {
        let extend = |f: Vec<(Dim, usize)>| {
            (0..problem.size(axis)).map(move |i| f.iter().copied().chain([(axis, i)]).collect::<Vec<_>>())
        };
        fixed = fixed.into_iter().flat_map(extend).collect();
    }
    let offsets = problem.offsets();
    let spans = (0..problem.size(Dim::N)).map(|n| match problem.sequences {
        Some(_) => (0, offsets[n]..offsets[n + 1]),
        None => (n, 0..problem.size(Dim::T)),
    });
    spans
        .enumerate()
        .flat_map(|(sequence, (row, span))| {
            fixed.iter().map(move |f| Slice { row, sequence, span: span.clone(), fixed: f.clone() })
        })
        .collect()
}

/// How long a dimension is within a slice that keeps it: of grouped heads, those that share a key head.
pub(super) fn extent(problem: &Problem, dim: Dim) -> usize {
    let grouped = Dim::GROUPED.contains(&dim) && problem.spec.independent.contains(&Dim::H);
    if grouped { problem.size(dim) / problem.size(Dim::H).max(1) } else { problem.size(dim) }
}

/// Where one dimension of a tensor goes.
enum Place {
    Index(usize),
    /// The heads that share this slice's key head.
    Group(Range<usize>),
    Tokens,
    Whole,
}

impl Slice {
    /// Tokens of the sequence.
    pub(super) fn tokens(&self) -> usize {
        self.span.len()
    }

    /// The index along each independent axis other than the batch.
    pub(super) fn fixed(&self) -> &[(Dim, usize)] {
        &self.fixed
    }

    fn place(&self, problem: &Problem, dim: Dim) -> Place {
        match dim {
            Dim::B => return Place::Index(self.row),
            Dim::N => return Place::Index(self.sequence),
            Dim::T => return Place::Tokens,
            _ => {}
        }
        for &(axis, i) in &self.fixed {
            if axis == dim {
                return Place::Index(i);
            }
            if Dim::GROUPED.contains(&axis) && dim == Dim::H {
                return Place::Index(i * problem.size(Dim::H) / problem.size(axis));
            }
            if Dim::GROUPED.contains(&dim) && axis == Dim::H {
                let heads = extent(problem, dim);
                return Place::Group(i * heads..(i + 1) * heads);
            }
        }
        Place::Whole
    }

    fn span(&self, problem: &Problem) -> Span {
        let step = if problem.reversed() { -1 } else { 1 };
        Span { start: self.span.start as isize, end: Some(self.span.end as isize), step }
    }

    /// This slice's part of a port's tensor, time running forwards.
    pub(super) fn part<'a, A>(&self, problem: &Problem, port: &Port, whole: &'a ArrayD<A>) -> ArrayViewD<'a, A> {
        let mut view = whole.view();
        for (axis, &dim) in port.dims.iter().enumerate().rev() {
            match self.place(problem, dim) {
                Place::Index(i) => view.index_axis_inplace(Axis(axis), i),
                Place::Group(heads) => view.slice_axis_inplace(Axis(axis), heads.into()),
                Place::Tokens => view.slice_axis_inplace(Axis(axis), self.span(problem)),
                Place::Whole => {}
            }
        }
        view
    }

    /// The same, to be written.
    pub(super) fn part_mut<'a, A>(
        &self,
        problem: &Problem,
        port: &Port,
        whole: &'a mut ArrayD<A>,
    ) -> ArrayViewMutD<'a, A> {
        let mut view = whole.view_mut();
        for (axis, &dim) in port.dims.iter().enumerate().rev() {
            match self.place(problem, dim) {
                Place::Index(i) => view.index_axis_inplace(Axis(axis), i),
                Place::Group(heads) => view.slice_axis_inplace(Axis(axis), heads.into()),
                Place::Tokens => view.slice_axis_inplace(Axis(axis), self.span(problem)),
                Place::Whole => {}
            }
        }
        view
    }

    /// Every input of the op for this slice; absent ones are what their presence says.
    pub(super) fn inputs<F: Real>(&self, problem: &Problem, inputs: &Arrays<F>) -> Parts<F> {
        let part = |port: &Port| match inputs.get(port.name) {
            Some(whole) => self.part(problem, port, whole).to_owned(),
            None => ArrayD::from_elem(self.shape(problem, port), F::from_f64(port.presence.neutral())),
        };
        problem.spec.inputs.iter().map(|p| (p.name, part(p))).collect()
    }

    fn shape(&self, problem: &Problem, port: &Port) -> Vec<usize> {
        let extent = |&dim: &Dim| match self.place(problem, dim) {
            Place::Index(_) => None,
            Place::Group(heads) => Some(heads.len()),
            Place::Tokens => Some(self.tokens()),
            Place::Whole => Some(problem.size(dim)),
        };
        port.dims.iter().filter_map(extent).collect()
    }
}
