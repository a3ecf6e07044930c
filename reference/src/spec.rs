//! What an op is: a value in a table, from which everything else is derived.

mod dim;

use std::collections::BTreeMap;
use std::fmt;

use crate::problem::Problem;
use crate::unit::Function;

pub use dim::Dim;

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

/// Where an input's values come from: the distribution that real models produce.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Domain {
    /// Signed, standard normal.
    Normal,
    /// Signed, normalised to unit length along the last dimension.
    UnitKey,
    /// Natural logarithm of a decay: ≤ 0, the logarithm of a sigmoid.
    LogDecay,
    /// In (0, 1): a sigmoid.
    Fraction,
    /// Logarithm of a positive rate: `ln U(1, 16)`.
    LogRate,
    /// Minus a fraction of another input of the same shape, element by element: what keeps `I + b aᵀ` from growing.
    Against(&'static str),
    /// A covariance, symmetric and positive definite in the last two dimensions: a sixteenth of the identity, and the outer
    /// products of four vectors around unit length.
    Covariance,
    /// Uniform between two numbers.
    Uniform(f64, f64),
    /// A weight: normal, over the root of the number of inputs that one output sums ([`Problem::fan_in`]).
    Weight,
    /// Indices of the vocabulary, below the extent `S`; or, when true, targets, of which some, and the last of each
    /// sequence, are −100: not to be counted.
    Symbols(bool),
    /// Blocks of tokens that a token looks at: the last dimension lists the indices of different blocks of its sequence, in
    /// ascending order, its own one always and none that is later, the others at random; where there are fewer than it has
    /// room for, −1 comes first. The attribute named says how many tokens a block has; without one, a block is a token.
    Blocks(Option<&'static str>),
}

/// Element type of a port, given the storage type of the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// The case's storage type.
    Storage,
    /// `f32`, or `f64` when the case is `f64`: gates, states.
    Single,
    /// `i64` whatever the case: indices. Never rounded, never differentiated.
    Index,
}

/// What an absent optional input stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Always given.
    Required,
    /// May be absent, which means zeros.
    OrZero,
    /// May be absent, which means ones.
    OrOne,
    /// May be absent, which means minus infinity: the logarithm of nothing.
    OrMinusInfinity,
}

impl Presence {
    /// Whether the input may be absent, where it may be given at all.
    #[must_use]
    pub const fn optional(self) -> bool {
        !matches!(self, Self::Required)
    }

    /// What every element of an absent input is.
    #[must_use]
    pub const fn neutral(self) -> f64 {
        match self {
            Self::Required | Self::OrZero => 0.0,
            Self::OrOne => 1.0,
            Self::OrMinusInfinity => f64::NEG_INFINITY,
        }
    }
}

/// An input or output.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// Name in the field's notation: `q`, `beta`, `h0`.
    pub name: &'static str,
    /// Symbolic shape, slowest first.
    pub dims: &'static [Dim],
    /// Where its values come from (inputs).
    pub domain: Domain,
    /// Domain to use instead when a flag attribute is true: a raw gate where a log decay was.
    pub domain_if: &'static [(&'static str, Domain)],
    /// Element type.
    pub precision: Precision,
    /// Whether upstream defines a gradient for it (inputs) or takes a cotangent (outputs).
    pub differentiable: bool,
    /// Whether it may be absent, and what that means (inputs).
    pub presence: Presence,
    /// Up to two flag attributes, and their values, without which there is no such port.
    pub when: [Option<(&'static str, bool)>; 2],
    /// How many extents each axis of upstream's parameter of that name merges, where it is not one each: a projection to
    /// `H` heads of width `K` is `[H, K, D]` here and `[H·K, D]` there. 0 stands for an axis of extent 1.
    pub merged: &'static [usize],
    /// Whether it lets later tokens matter (inputs).
    pub looks_ahead: bool,
}

impl Port {
    /// A required, differentiable port in storage precision.
    #[must_use]
    pub const fn new(name: &'static str, dims: &'static [Dim], domain: Domain) -> Self {
        Self {
            name,
            dims,
            domain,
            domain_if: &[],
            precision: Precision::Storage,
            differentiable: true,
            presence: Presence::Required,
            when: [None, None],
            merged: &[],
            looks_ahead: false,
        }
    }

    /// The same port, which lets later tokens matter.
    #[must_use]
    pub const fn looks_ahead(mut self) -> Self {
        self.looks_ahead = true;
        self
    }

    /// A parameter with upstream's name, which merges these numbers of extents into each of its axes.
    #[must_use]
    pub const fn weight(name: &'static str, dims: &'static [Dim], merged: &'static [usize]) -> Self {
        Self { merged, ..Self::new(name, dims, Domain::Weight) }
    }

    /// A bias with upstream's name: absent means zeros.
    #[must_use]
    pub const fn bias(name: &'static str, dims: &'static [Dim], merged: &'static [usize]) -> Self {
        Self { merged, ..Self::new(name, dims, Domain::Normal) }.presence(Presence::OrZero)
    }

    /// The weight of a norm with upstream's name: absent means ones.
    #[must_use]
    pub const fn scale(name: &'static str, dims: &'static [Dim]) -> Self {
        Self::new(name, dims, Domain::Uniform(0.5, 1.5)).presence(Presence::OrOne)
    }

    /// The same port, where upstream's parameter merges these numbers of extents into each of its axes.
    #[must_use]
    pub const fn merged(mut self, merged: &'static [usize]) -> Self {
        self.merged = merged;
        self
    }

    /// The same port in single precision.
    #[must_use]
    pub const fn single(mut self) -> Self {
        self.precision = Precision::Single;
        self
    }

    /// The same port, of integers.
    #[must_use]
    pub const fn index(mut self) -> Self {
        self.precision = Precision::Index;
        self.constant()
    }

    /// The same port, without a gradient.
    #[must_use]
    pub const fn constant(mut self) -> Self {
        self.differentiable = false;
        self
    }

    /// The same port with another presence.
    #[must_use]
    pub const fn presence(mut self, presence: Presence) -> Self {
        self.presence = presence;
        self
    }

    const fn on(mut self, flag: &'static str, value: bool) -> Self {
        self.when = match self.when {
            [None, _] => [Some((flag, value)), None],
            [first, _] => [first, Some((flag, value))],
        };
        self
    }

    /// The same port, which exists only when this flag attribute is true.
    #[must_use]
    pub const fn when(self, flag: &'static str) -> Self {
        self.on(flag, true)
    }

    /// The same port, which exists only when this flag attribute is false.
    #[must_use]
    pub const fn unless(self, flag: &'static str) -> Self {
        self.on(flag, false)
    }

    /// Whether it may be absent or given as one likes, whatever the attributes are.
    #[must_use]
    pub const fn free(&self) -> bool {
        self.presence.optional() && self.when[0].is_none()
    }

    /// The same port with other domains under some attributes; the first true one wins.
    #[must_use]
    pub const fn domain_if(mut self, domains: &'static [(&'static str, Domain)]) -> Self {
        self.domain_if = domains;
        self
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// Not given: the op derives it (its doc says how).
    Auto,
    /// One of [`Attr::words`].
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(x) => write!(f, "{x}"),
            Self::Number(x) => write!(f, "{x}"),
            Self::Auto => f.write_str("auto"),
            Self::Word(x) => f.write_str(x),
        }
    }
}

/// An option of an op.
#[derive(Debug, Clone, Copy)]
pub struct Attr {
    /// Name.
    pub name: &'static str,
    /// Value when not given; its variant fixes the type ([`Value::Auto`] is a number).
    pub default: Value,
    /// A value that is not the default and changes answers: what cases try.
    pub other: Value,
    /// What a word may be; empty for other types.
    pub words: &'static [&'static str],
    /// What it does, in a clause.
    pub summary: &'static str,
}

impl Attr {
    /// A flag; cases try its opposite.
    #[must_use]
    pub const fn flag(name: &'static str, default: bool, summary: &'static str) -> Self {
        Self { name, default: Value::Flag(default), other: Value::Flag(!default), words: &[], summary }
    }

    /// A number.
    #[must_use]
    pub const fn number(name: &'static str, default: f64, other: f64, summary: &'static str) -> Self {
        Self { name, default: Value::Number(default), other: Value::Number(other), words: &[], summary }
    }

    /// A number that the op derives when it is not given.
    #[must_use]
    pub const fn auto(name: &'static str, other: f64, summary: &'static str) -> Self {
        Self { name, default: Value::Auto, other: Value::Number(other), words: &[], summary }
    }

    /// One of several words, the first unless told otherwise; cases try the second.
    #[must_use]
    pub const fn word(name: &'static str, words: &'static [&'static str], summary: &'static str) -> Self {
        Self { name, default: Value::Word(words[0]), other: Value::Word(words[1]), words, summary }
    }

    /// The value that a word stands for.
    #[must_use]
    pub fn named(&self, word: &str) -> Option<Value> {
        self.words.iter().find(|&&w| w == word).map(|&w| Value::Word(w))
    }

    /// What a value must be, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.default {
            Value::Flag(_) => "true or false".into(),
            Value::Number(_) | Value::Auto => "a number".into(),
            Value::Word(_) => self.words.join(" or "),
        }
    }
}

/// Attribute values that were given; the others have their defaults.
pub type Attrs = BTreeMap<&'static str, Value>;

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
