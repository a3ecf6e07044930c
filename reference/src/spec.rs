//! What an op is: a value in a table, from which everything else is derived.

mod attr;
mod dim;
mod domain;
mod port;

use crate::problem::Problem;
use crate::unit::Function;

pub use attr::{Attr, Attrs, Value};
pub use dim::Dim;
pub use domain::{Domain, Precision, Presence, ignored};
pub use port::Port;

/// What is judged: a single op, or something built from ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One recurrence.
    Op,
    /// A building block with weights.
    Module,
    /// A token mixer or channel mixer with weights.
    Layer,
    /// A language model.
    Model,
}

impl Level {
    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Op => "op",
            Self::Module => "module",
            Self::Layer => "layer",
            Self::Model => "model",
        }
    }
}

/// A condition that a problem must meet, with its label for error messages and tests.
#[derive(Debug, Clone, Copy)]
pub struct Constraint {
    /// C1, C2, …
    pub label: &'static str,
    /// In words.
    pub text: &'static str,
    /// Whether a problem meets it.
    pub holds: fn(&Problem) -> bool,
    /// Turns a valid problem into one that violates this constraint and no earlier one: the test of the error.
    pub break_it: fn(&mut Problem),
    /// Turns a problem that violates this constraint, and no earlier one, into one that meets it: how cases are made.
    pub mend: fn(&mut Problem),
}

impl Constraint {
    /// Value heads are a multiple of key heads.
    #[must_use]
    pub const fn grouped_values(label: &'static str) -> Self {
        Self {
            label,
            text: "HV is a positive multiple of H",
            holds: |p| grouped(p, Dim::HV),
            break_it: |p| p.sizes.extend([(Dim::H, 2), (Dim::HV, 3)]),
            mend: |p| group(p, Dim::HV),
        }
    }

    /// Query heads are a multiple of key heads.
    #[must_use]
    pub const fn grouped_queries(label: &'static str) -> Self {
        Self {
            label,
            text: "HQ is a positive multiple of H",
            holds: |p| grouped(p, Dim::HQ),
            break_it: |p| p.sizes.extend([(Dim::H, 2), (Dim::HQ, 3)]),
            mend: |p| group(p, Dim::HQ),
        }
    }
}

fn grouped(p: &Problem, heads: Dim) -> bool {
    let (h, heads) = (p.size(Dim::H), p.size(heads));
    h > 0 && heads >= h && heads.is_multiple_of(h)
}

fn group(p: &mut Problem, heads: Dim) {
    let h = p.size(Dim::H).max(1);
    let each = (p.size(heads) / h).max(1);
    p.sizes.extend([(Dim::H, h), (heads, h * each)]);
}

/// A pair of ports through which the recurrence can be cut along `T`.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// Input that starts the recurrence.
    pub initial: &'static str,
    /// Output from which the next piece resumes.
    pub last: &'static str,
    /// Whether it is read and written element by element, never as an operand of a matrix product: a sum of squares, a
    /// running maximum, a clock. Kernels keep such a state in their accumulators.
    pub elementwise: bool,
}

impl State {
    /// A state that matrix products read.
    #[must_use]
    pub const fn new(initial: &'static str, last: &'static str) -> Self {
        Self { initial, last, elementwise: false }
    }

    /// A state that no matrix product reads.
    #[must_use]
    pub const fn elementwise(initial: &'static str, last: &'static str) -> Self {
        Self { initial, last, elementwise: true }
    }
}

/// The one definition of an op; see the crate documentation for how to add one.
#[derive(Debug)]
pub struct OpSpec {
    /// Snake-case noun of the recurrence.
    pub name: &'static str,
    /// Op, module, layer or model.
    pub level: Level,
    /// The recurrence in one line.
    pub summary: &'static str,
    /// Paper and equation.
    pub source: &'static str,
    /// The fla 0.6.0 functions that compute it.
    pub upstream: &'static [&'static str],
    /// The extents that a case gives, in the order of its string.
    pub sizes: &'static [Dim],
    /// Inputs, in upstream's order.
    pub inputs: &'static [Port],
    /// Outputs, in the order in which the function returns them.
    pub outputs: &'static [Port],
    /// Options.
    pub attrs: &'static [Attr],
    /// Conditions beyond shapes.
    pub constraints: &'static [Constraint],
    /// Axes whose slices never influence one another: batch row (or packed sequence) and head. The oracle maps
    /// [`OpSpec::function`] over them, and the judge holds candidates to the independence.
    pub independent: &'static [Dim],
    /// The state ports; empty when the op cannot be resumed.
    pub states: &'static [State],
    /// The mathematics of one independent slice.
    pub function: Function,
}

impl OpSpec {
    /// The input of that name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&'static Port> {
        self.inputs.iter().find(|p| p.name == name)
    }

    /// The output of that name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&'static Port> {
        self.outputs.iter().find(|p| p.name == name)
    }

    /// The attribute of that name.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&'static Attr> {
        self.attrs.iter().find(|a| a.name == name)
    }

    /// Whether the function sees one index of this dimension: the batch, and what [`OpSpec::independent`] names, key heads
    /// included when several others share them.
    #[must_use]
    pub fn maps(&self, dim: Dim) -> bool {
        let shared = || dim == Dim::H && Dim::GROUPED.iter().any(|d| self.independent.contains(d));
        matches!(dim, Dim::B | Dim::N) || self.independent.contains(&dim) || shared()
    }

    /// Whether a tensor of this port has one slice for each token.
    #[must_use]
    pub fn per_token(port: &Port) -> bool {
        port.dims.contains(&Dim::T)
    }
}
